# Penumbra. `make help` lists the targets. Set-up of a fresh machine: scripts/dev/setup.

# ---- settings ---------------------------------------------------------------------------------------------------

OPTIMIZE ?= -O3
WARNINGS  = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes $(if $(CI),-Werror)
PREFIX   ?= /usr/local
VARIANT  ?= release
V        ?= 0

FLAGS_release =
FLAGS_double  = -DNN_DOUBLE
FLAGS_asan    = -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer \
                -DNN_PLAIN_MALLOC
FLAGS_tsan    = -O1 -g -fsanitize=thread
FLAGS_fuzz    = -O1 -g -fno-omit-frame-pointer -DNN_PLAIN_MALLOC
FLAGS_cross   = -Werror -idirafter /usr/include

# Another processor's compiler, for check-cross.
CROSS_CC ?= aarch64-linux-gnu-gcc

# clang with libFuzzer, for `make fuzz`; the time that each fuzzer gets; which ones.
FUZZ_CC ?= clang
SECONDS ?= 300
FUZZ    ?= $(FUZZERS)
FUZZ_CHECKS = address,undefined,float-cast-overflow

# Data sets from outside the repository, for tests and benchmarks. What needs one that is not there says so and is
# skipped.
TEST_DATA := $(or $(PENUMBRA_DATA),$(wildcard $(abspath ../shared/data)))
check check-asan check-tsan check-blas check-cpu bench: export PENUMBRA_DATA := $(TEST_DATA)

# ---- sources ----------------------------------------------------------------------------------------------------

NN = $(addprefix nn/, \
  core/cpu.c core/error.c core/memory.c core/parallel.c core/peak.c core/random.c core/sha256.c \
  tensor/tensor.c \
  autograd/op.c autograd/tape.c \
  kernels/arithmetic.c kernels/conv.c kernels/conv_reference.c kernels/direct.c kernels/dropout.c \
  kernels/elementwise.c kernels/engine_avx2.c kernels/engine_avx512.c kernels/engine_portable.c kernels/fuse.c \
  kernels/gather.c kernels/gemm.c kernels/hyperplane.c kernels/loss.c kernels/norm.c kernels/optim.c \
  kernels/pointwise.c kernels/pool.c kernels/reduce.c kernels/resample.c kernels/resample_avx2.c kernels/resize.c \
  kernels/softmax.c kernels/strided.c kernels/winograd.c \
  ops/arithmetic.c ops/conv.c ops/dropout.c ops/gather.c ops/layout.c ops/loss.c ops/matmul.c ops/norm.c \
  ops/pointwise.c ops/pool.c ops/reduce.c ops/resize.c ops/shape.c ops/softmax.c \
  optim/optim.c \
  module/block.c module/cost.c module/graph.c module/layer.c module/lower.c module/module.c module/plan.c \
  data/batch.c data/cifar.c data/files.c data/idx.c data/tint.c data/mat5.c data/channels.c \
  formats/checkpoint.c formats/dtype.c formats/json.c formats/npz.c formats/pickle.c \
  formats/safetensors.c formats/torch.c \
  formats/archive.c formats/bytes.c formats/fetch.c formats/file.c formats/library.c formats/npy.c formats/pack.c \
  formats/unpack.c formats/zip.c \
  image/exif.c image/image.c image/jpeg.c image/png.c image/resize.c \
  data/loader.c data/picture.c \
  attack/apgd.c attack/ball.c attack/fab.c attack/pgd.c attack/row.c attack/square.c attack/target.c \
  perturb/colour.c perturb/geometry.c perturb/noise.c perturb/perturb.c kernels/colour.c kernels/geometry.c \
  kernels/noise.c \
  )

BINDINGS = $(addprefix bindings/, \
  b_attack.c b_checkpoint.c b_json.c \
  b_data.c b_files.c b_formats.c b_image.c b_loader.c b_module.c b_nn.c b_op.c b_optim.c b_perturb.c b_tensor.c nnl.c \
  )

VM = $(addprefix vm/, \
  editor.c files.c history.c host.c interrupt.c main.c picture.c process.c repl.c sandbox.c state.c terminal.c \
  )

# Each is a program of its own, linked with nn and cmocka.
TESTS = $(addprefix tests/c/, \
  test_checkpoint.c test_json.c \
  test_archive.c test_attack.c test_cifar.c test_colour.c test_conv.c test_core.c test_files.c test_geometry.c \
  test_hyperplane.c \
  test_idx.c test_jpeg.c test_loader.c test_loss.c test_mat5.c test_matmul.c test_norm.c test_npy.c test_optim.c \
  test_png.c test_pointwise.c test_pool.c test_reduce.c test_resample.c test_shape.c test_tensor.c test_twins.c \
  test_vecmath.c test_winograd.c test_channels.c \
  )

# Each is a fuzzer of one parser, and a test that replays tests/corpus/NAME.
FUZZERS = \
  cifar files idx jpeg json mat npy pickle png safetensors \
  $(if $(filter libarchive,$(OPTIONAL)),archive npz torch unpack)
FUZZER = $(addprefix $(OUT)/tests/fuzz/, checkpoint.o fuzz.o picture.o repair.o)

STDLIB := $(sort $(shell find stdlib -name '*.lua'))

# Recipes and studies that the program has with it, found by the names of their files.
RECIPES := $(sort $(wildcard scripts/paper/*.lua) \
             $(shell grep -lrE '^return (recipe|study)\>' examples --include='*.lua'))

# ---- tools and libraries ----------------------------------------------------------------------------------------

SYSTEM := $(shell uname)
PKG_CONFIG ?= pkg-config
LUA := $(firstword $(foreach name,lua5.4 lua-5.4 lua,$(shell $(PKG_CONFIG) --exists '$(name) >= 5.4' && echo $(name))))
PACKAGES = openblas libpng libjpeg zlib
# Without these, downloads (libcurl) and archives (libarchive: .zip, .tar, and what torch and NumPy keep in them) end in
# a message that says so.
OPTIONAL := $(foreach name,libcurl libarchive,$(shell $(PKG_CONFIG) --exists $(name) && echo $(name)))
# On Linux the program loads these itself when it first needs them (nn/formats/library.h). The name by which one asks
# for a library, libcurl.so.4, is the beginning of its file's name; where there is no such file all are linked as usual.
name_of = $(shell echo '$(notdir $(realpath $(shell $(CC) -print-file-name=$(1).so)))' | \
            sed -n 's/^\(lib.*\.so\.[0-9]*\).*/\1/p')
LATE := $(if $(filter Linux,$(SYSTEM)),$(foreach name,$(OPTIONAL),$(call name_of,$(name))))
LATE := $(if $(filter $(words $(OPTIONAL)),$(words $(LATE))),$(LATE))
# Without it the prompt has no editing, history and completion.
EDITOR := $(shell $(PKG_CONFIG) --exists libedit && echo libedit)

ifneq ($(filter-out help clean lint,$(or $(MAKECMDGOALS),all)),)
  ifeq ($(LUA),)
    $(error Lua 5.4 is not there for $(PKG_CONFIG); scripts/dev/setup installs what is missing)
  endif
  ifneq ($(shell $(PKG_CONFIG) --exists $(PACKAGES) && echo yes),yes)
    $(error $(PKG_CONFIG) misses one of: $(PACKAGES); scripts/dev/setup installs what is missing)
  endif
endif
ifneq ($(filter test-programs,$(MAKECMDGOALS)),)
  ifneq ($(shell $(PKG_CONFIG) --exists cmocka && echo yes),yes)
    $(error cmocka, which the tests need, is not there for $(PKG_CONFIG); scripts/dev/setup --check installs it)
  endif
endif

NN_CFLAGS  := $(shell $(PKG_CONFIG) --cflags $(PACKAGES) $(OPTIONAL)) \
              $(if $(filter libcurl,$(OPTIONAL)),-DNN_HAVE_CURL) \
              $(if $(filter libarchive,$(OPTIONAL)),-DNN_HAVE_ARCHIVE) \
              $(if $(LATE),-DNN_LATE_LIBRARIES \
                $(foreach name,$(LATE),-DNN_FILE_$(firstword $(subst -, ,$(subst ., ,$(name))))=$(name)))
LUA_CFLAGS := $(if $(LUA),$(shell $(PKG_CONFIG) --cflags $(LUA)))
VM_CFLAGS  := $(if $(EDITOR),$(shell $(PKG_CONFIG) --cflags $(EDITOR)) -DVM_HAVE_EDITLINE)
NN_LIBS    := $(shell $(PKG_CONFIG) --libs $(PACKAGES) $(if $(LATE),,$(OPTIONAL))) $(if $(LATE),-ldl) -lm
VM_LIBS    := $(if $(EDITOR),$(shell $(PKG_CONFIG) --libs $(EDITOR)))
LUA_LIBS   := $(if $(LUA),$(shell $(PKG_CONFIG) --libs $(LUA)))
TEST_LIBS   = $(shell $(PKG_CONFIG) --libs cmocka)

# What of the system's headers is used. macOS keeps flock and the like behind a name of its own.
FEATURES = -D_XOPEN_SOURCE=700$(if $(filter Darwin,$(SYSTEM)), -D_DARWIN_C_SOURCE)
# What is asked of the compiler; CFLAGS and LDFLAGS are the user's and come last.
# Nobody reads errno after arithmetic, or the processor's exception flags: without them more loops vectorise, to the
# same results.
COMPILE = $(CC) -std=c11 $(FEATURES) -ffp-contract=off -fno-math-errno -fno-trapping-math -pthread $(OPTIMIZE) \
          $(WARNINGS) $(FLAGS_$(VARIANT))
LINK    = $(CC) -pthread $(FLAGS_$(VARIANT))

# Kernels written for one level of vector unit, in files of that name; elsewhere these files are empty.
X86          := $(findstring x86_64,$(shell $(CC) -dumpmachine))
AVX2_FLAGS    = $(if $(X86),-mavx2 -mfma)
AVX512_FLAGS  = $(if $(X86),-mavx2 -mfma -mavx512f -mavx512bw -mavx512dq -mavx512vl)

# ---- rules ------------------------------------------------------------------------------------------------------

OUT      = build/$(VARIANT)
PROGRAM  = $(OUT)/penumbra
OBJECTS  = $(patsubst %.c,$(OUT)/%.o,$(NN) $(BINDINGS) $(VM) $(TESTS)) $(OUT)/embedded.o \
           $(FUZZERS:%=$(OUT)/tests/fuzz/%.o) $(FUZZER) $(OUT)/tests/fuzz/mutate.o $(OUT)/tests/fuzz/replay.o
TEST_PROGRAMS = $(patsubst tests/c/%.c,$(OUT)/tests/%,$(TESTS)) $(FUZZERS:%=$(OUT)/tests/replay_%) \
                $(OUT)/tests/server $(OUT)/tests/terminal

say = $(if $(filter 0,$(V)),@printf '  %-6s %s\n' $(1) $(2);,)

.PHONY: all program test-programs release double asan tsan check check-long check-kills check-asan check-tsan \
        check-blas check-cpu check-cross nn-objects fuzz fuzz-programs demo bench lint install clean help FORCE
.DELETE_ON_ERROR:
.SECONDARY:

all: program

program: $(PROGRAM)
	@:

test-programs: $(TEST_PROGRAMS)
	@:

fuzz-programs: $(FUZZ:%=$(OUT)/fuzz_%)
	@:

nn-objects: $(patsubst %.c,$(OUT)/%.o,$(NN))
	@:

release double asan tsan:
	@$(MAKE) --no-print-directory VARIANT=$@ program test-programs

$(OUT)/nn/%.o: INCLUDE = -Inn $(NN_CFLAGS)
$(OUT)/bindings/%.o: INCLUDE = -Inn -Ibindings $(LUA_CFLAGS)
$(OUT)/vm/%.o: INCLUDE = -Inn -Ibindings -Ivm $(LUA_CFLAGS) $(VM_CFLAGS)
$(OUT)/embedded.o: INCLUDE = -Ivm $(LUA_CFLAGS)
$(OUT)/tests/c/%.o $(OUT)/tests/fuzz/%.o: INCLUDE = -Inn $(NN_CFLAGS)

# What parses is instrumented; the engines would take minutes to compile.
FUZZED = core tensor data formats image
ifeq ($(VARIANT),fuzz)
$(FUZZED:%=$(OUT)/nn/%/%.o) $(OUT)/tests/fuzz/%.o: \
  LEVEL = -fsanitize=fuzzer-no-link,$(FUZZ_CHECKS) -fno-sanitize-recover=$(FUZZ_CHECKS)
endif

$(OUT)/nn/kernels/%_avx2.o: LEVEL = $(AVX2_FLAGS)
$(OUT)/nn/kernels/%_avx512.o: LEVEL = $(AVX512_FLAGS)

$(OUT)/%.o: %.c $(OUT)/flags
	@mkdir -p $(@D)
	$(call say,CC,$<)$(COMPILE) $(LEVEL) $(INCLUDE) $(CFLAGS) -MMD -MP -c -o $@ $<

$(OUT)/embedded.o: $(OUT)/embedded.c $(OUT)/flags
	$(call say,CC,$<)$(COMPILE) $(INCLUDE) $(CFLAGS) -MMD -MP -c -o $@ $<

$(OUT)/embedded.c: $(OUT)/embed $(STDLIB) $(RECIPES) $(OUT)/lists
	$(call say,EMBED,$@)$(OUT)/embed $(STDLIB) -- $(RECIPES) > $@

$(OUT)/embed: scripts/dev/embed.c $(OUT)/flags
	$(call say,CC,$<)$(COMPILE) $(CFLAGS) -o $@ $<

$(PROGRAM): $(patsubst %.c,$(OUT)/%.o,$(VM) $(BINDINGS) $(NN)) $(OUT)/embedded.o $(OUT)/lists
	$(call say,LINK,$@)$(LINK) $(LDFLAGS) -o $@ $(filter %.o,$^) $(LUA_LIBS) $(VM_LIBS) $(NN_LIBS)

$(OUT)/tests/%: $(OUT)/tests/c/%.o $(patsubst %.c,$(OUT)/%.o,$(NN))
	$(call say,LINK,$@)$(LINK) $(LDFLAGS) -o $@ $^ $(TEST_LIBS) $(NN_LIBS)

$(OUT)/tests/replay_%: $(OUT)/tests/fuzz/%.o $(OUT)/tests/fuzz/replay.o $(FUZZER) $(patsubst %.c,$(OUT)/%.o,$(NN))
	$(call say,LINK,$@)$(LINK) $(LDFLAGS) -o $@ $^ $(NN_LIBS)

$(OUT)/fuzz_%: $(OUT)/tests/fuzz/%.o $(OUT)/tests/fuzz/mutate.o $(FUZZER) $(patsubst %.c,$(OUT)/%.o,$(NN))
	$(call say,LINK,$@)$(LINK) -fsanitize=fuzzer,$(FUZZ_CHECKS) $(LDFLAGS) -o $@ $^ $(NN_LIBS)

# The other side of the tests of downloads, and of those of the prompt.
$(OUT)/tests/server $(OUT)/tests/terminal: $(OUT)/tests/%: tests/cli/%.c $(OUT)/flags
	@mkdir -p $(@D)
	$(call say,CC,$<)$(COMPILE) $(CFLAGS) $(LDFLAGS) -o $@ $<

LIBRARIES = $(NN_CFLAGS) $(VM_CFLAGS) $(EDITOR)

# These two change only when what they hold changes: the command lines, the lists of files.
$(OUT)/flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(COMPILE) $(AVX2_FLAGS) $(AVX512_FLAGS) $(CFLAGS) $(LIBRARIES) $(LINK) $(LDFLAGS)' | cmp -s - $@ || \
	  printf '%s\n' '$(COMPILE) $(AVX2_FLAGS) $(AVX512_FLAGS) $(CFLAGS) $(LIBRARIES) $(LINK) $(LDFLAGS)' > $@

$(OUT)/lists: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(STDLIB) $(RECIPES) $(NN) $(BINDINGS) $(VM)' | cmp -s - $@ || \
	  printf '%s\n' '$(STDLIB) $(RECIPES) $(NN) $(BINDINGS) $(VM)' > $@

-include $(OBJECTS:.o=.d)

# ---- tests ------------------------------------------------------------------------------------------------------

# One command for each C test and each spec: a crash then costs the others nothing.
SPECS        = $(sort $(wildcard $(foreach folder,lua parity weights cli,tests/$(folder)/*_spec.lua)))
DOUBLE_SPECS = $(sort $(wildcard tests/double/*_spec.lua))
suite        = $(patsubst tests/c/%.c,build/$(1)/tests/%,$(TESTS)) \
               $(foreach name,$(FUZZERS),'build/$(1)/tests/replay_$(name) tests/corpus/$(name)') \
               $(foreach spec,$(SPECS),'build/$(1)/penumbra tests/run.lua $(spec)')
double_suite = $(foreach spec,$(DOUBLE_SPECS),'build/double/penumbra tests/run.lua $(spec)')

check: release double
	@scripts/dev/run-tests $(call suite,release) $(double_suite)

# Sanitizers over everything, ThreadSanitizer over the C tests, other sets of BLAS kernels and of ours.
check-long: check check-kills check-asan check-tsan check-blas check-cpu check-cross

# Trainings killed at random moments, 50 of them (check: 5).
check-kills: release
	@PENUMBRA_KILLS=50 scripts/dev/run-tests 'build/release/penumbra tests/run.lua tests/cli/kill_spec.lua'

check-asan: asan
	@scripts/dev/run-tests $(call suite,asan)

check-tsan: tsan
	@scripts/dev/run-tests $(patsubst tests/c/%.c,build/tsan/tests/%,$(TESTS))

check-blas: release
	@OPENBLAS_CORETYPE=Haswell scripts/dev/run-tests $(call suite,release)

# The levels below this processor's best, which `check` uses.
check-cpu: release
	@for level in avx2 portable; do \
	  export PENUMBRA_CPU=$$level; echo "PENUMBRA_CPU=$$level"; \
	  if ! $(PROGRAM) -e ''; then echo "  skipped"; continue; fi; \
	  scripts/dev/run-tests $(call suite,release) || exit 1; \
	done

# nn/ compiles for a processor that has none of our engines. The libraries' headers are this machine's.
check-cross:
	@if command -v $(CROSS_CC) > /dev/null; then \
	  $(MAKE) --no-print-directory VARIANT=cross CC=$(CROSS_CC) nn-objects && echo 'nn/ compiles with $(CROSS_CC)'; \
	else \
	  echo 'check-cross: skipped: $(CROSS_CC) is not installed'; \
	fi

# Every fuzzer for SECONDS; FUZZ=name for one. What they find stays in build/fuzz/findings.
fuzz:
	$(if $(filter-out $(FUZZERS),$(FUZZ)),$(error fuzz: $(filter-out $(FUZZERS),$(FUZZ)) is none of $(FUZZERS)))
	@mkdir -p build/fuzz
	@echo 'int LLVMFuzzerTestOneInput(const char *, long);' \
	  'int LLVMFuzzerTestOneInput(const char *p, long n) { return n < 0 && *p; }' > build/fuzz/probe.c
	@if ! $(FUZZ_CC) -fsanitize=fuzzer,$(FUZZ_CHECKS) -o build/fuzz/probe build/fuzz/probe.c 2> /dev/null; then \
	  echo 'fuzz: $(FUZZ_CC) with libFuzzer is not there (on Debian: clang, libclang-rt-14-dev); FUZZ_CC names it'; \
	  exit 1; \
	fi
	@$(MAKE) --no-print-directory VARIANT=fuzz CC='$(FUZZ_CC)' FUZZ='$(FUZZ)' fuzz-programs
	@scripts/dev/fuzz $(SECONDS) $(FUZZ:%=build/fuzz/fuzz_%)

lint:
	@scripts/dev/lint

# ---- use --------------------------------------------------------------------------------------------------------

demo: program
	@$(PROGRAM) run scripts/paper/table4.lua

bench: program
	@$(PROGRAM) scripts/bench/run.lua $(if $(CASE),case=$(CASE)) $(if $(ROUNDS),rounds=$(ROUNDS))

install: program
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/penumbra
	install -m 755 $(PROGRAM) $(DESTDIR)$(PREFIX)/bin/penumbra
	cp -R examples $(wildcard scripts/paper) $(DESTDIR)$(PREFIX)/share/penumbra/
	$(PROGRAM) help --stubs $(DESTDIR)$(PREFIX)/share/penumbra/lua-stubs
	install -d $(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/bash-completion/completions
	$(PROGRAM) help --man > $(DESTDIR)$(PREFIX)/share/man/man1/penumbra.1
	$(PROGRAM) help --completion > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/penumbra

clean:
	rm -rf build

help:
	@echo 'make             build/release/penumbra'
	@echo 'make check       every test, at most 8 minutes; the last line counts them'
	@echo 'make check-long  also check-kills (50 trainings killed), check-asan, check-tsan (sanitizers), check-blas,'
	@echo '                 check-cpu (other kernels), check-cross (Arm)'
	@echo 'make demo        the main experiment: Table 4, Colour MNIST'
	@echo 'make bench       speed, beside torch: 45 minutes; CASE=... for a part of it, ROUNDS=n'
	@echo 'make fuzz        every parser against libFuzzer for SECONDS=300 each; FUZZ=name for one'
	@echo 'make lint        style: luacheck, shellcheck, include rules, line length'
	@echo 'make install     to PREFIX=$(PREFIX), below DESTDIR if given'
	@echo 'make double | asan | tsan   other builds, in build/<variant>/'
	@echo 'make clean       remove build/'
	@echo
	@echo 'Settings: V=1 shows the commands; CI=1 makes warnings errors; CC, CFLAGS, LDFLAGS, OPTIMIZE, PREFIX;'
	@echo 'PENUMBRA_DATA is a folder of data sets, used by tests and benchmarks that need real ones.'
