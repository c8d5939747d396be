--- The topics of help that are about the program as a whole.
---@package
local M = {}

M.overview = [==[
Penumbra runs experiments on the semantic continuity of neural networks: does a change that keeps the meaning of an
image also keep the model's answer? Models, perturbations, losses and probes are values that a Lua script composes.

  penumbra              The prompt
  penumbra script.lua   Run a script; what follows is its arguments
  penumbra -e 'code'    Run a piece of code
%s

  penumbra help TOPIC   More on one of these:

    command       options, arguments, exit codes; `help run` explains a command
    prompt        what the prompt understands
    ops           the operations on tensors; `help conv2d` explains one
    layers        the layers of a model; `help Conv2d` explains one
    modules       the Lua modules; `help perturb` explains one, `help perturb.hue` a function of it
    tensor        what a tensor can do; also model, part, dataset, optimizer, interval and others
    errors        what raises, and what gives nil, message, code
    environment   the environment variables it reads

  Any other word lists the topics that speak of it: `penumbra help antialias`.
]==]

M.command = [==[
penumbra [options] [script [args] | command [args]]

  -e CODE        run CODE (may be given more than once); every module is there by its name
  --threads N    threads to compute with, 1 to 256; results are the same with any number
  --traceback    show where in the script an error came from
  --version      version, Lua, BLAS, processor, threads
  --help, -h     the overview
  --             what follows is no option

Commands; `penumbra COMMAND --help` lists the options of one:

%s

A script gets its arguments in `arg` and `...`, and `require` finds modules beside it. `-` is standard input as a
script. Without a script, a command or -e, penumbra is a prompt; reading from a pipe it runs what it reads, entry by
entry, and shows no prompt.

Exit codes: 0 done; 1 an error in the script, or no such script; 2 a wrong command line; 130 interrupted by Ctrl-C.
Of diff and verify: 0 the same, 1 something differs, 2 it cannot be told.
A script chooses others with os.exit.
]==]

M.prompt = [==[
At the prompt an expression prints its value, and `_` is the last value. An unfinished entry goes on at `>>`. Every
module is there by its name (nn, data, models, ...), without `require`; `local` at the start of an entry makes a global,
so that the lines of a script can be typed as they are. An error shows the lines of yours that led to it; the session
goes on.

  help()            the overview
  help(nn.conv2d)   help on an operation, a module, a function of one, or a value; also help "conv2d"
  ?conv2d           the same
  show(x)           draws a picture, or a batch of them: `help terminal.show`
  :time EXPR        how long it takes, the best of several runs when it is short
  :mem              memory: of tensors, of Lua, of the process
  :reload MODULE    reads a module again, from its file or from PENUMBRA_PATH
  :help             these words
  :quit             leaves

  Tab               completes names, fields, methods, and paths inside strings; shows them where there are several
  Up, Down, Ctrl-R  earlier entries, also those of other sessions
  Ctrl-C            stops what runs, or drops the line
  Ctrl-D            leaves

What was typed is kept in penumbra/history below $XDG_STATE_HOME or ~/.local/state. Keys are those of libedit; ~/.editrc
changes them. A build without libedit reads plain lines. From a file or a pipe (penumbra < file) entries are run one by
one without a prompt, and the first that fails ends it with exit code 1.
]==]

M.include = [==[
include(name) in a recipe or a study gives what another file of the same folder, or of one below it, returns:

  local base = include "digits.lua"        -- a recipe: its title, about, cites, params, unstated and plan
  local nets = include "parts/nets.lua"    -- or any other value: a table of functions, say

The file is read in the same closed world, and its text is kept with the run.
]==]

M.start = [==[
start in what a recipe's plan function returns: the run begins with the weights that another run of the recipe ends
with.

  plan = function(p)
    local plan = { data = ..., model = ..., loss = ..., optimizer = ..., epochs = p.epochs }
    if p.measure ~= "training" then
      plan.start, plan.epochs = { measure = "training" }, 0        -- nothing is trained, only the probes run
      plan.probes = { accuracy = probe.accuracy() }
    elseif p.variant ~= "base" then
      plan.start = { variant = "base", alpha = 0 }                 -- continues from the base run
    end
    return plan
  end

start names parameters of the recipe; those it does not name are the run's own. What stands for it in the plan is the
whole plan of that run, so the run's hash says what it starts from, and all runs and studies with an equal start share
one. A start may have a start of its own: at most 4 in a row, without a circle.

`run` makes what is not there first, each in a folder beside the run's; with --jobs others wait for it. Weights must
have the same names and shapes. results.json says which they were (start: run, plan_hash, sha256). A start that is gone
is made again when a run needs it, complete runs need it no more; --fresh makes the runs that are asked for anew, not
what they start from. A weights file that is not what its run has ended with is refused, and a training does not go on
over other weights than it began with. `pack` takes the starts along, with their weights, and `verify` repeats each run
from those.

A probe is told `context.twin`, a model with the weights of the first run in the row.
]==]

M.errors = [==[
What a script does wrong raises an error: a wrong type, shape or option. The message names the operation, what it
expected and what it got, with the shapes, and the line of the script:

  penumbra: first.lua:14: conv2d: weight expects 3 input channels, got 1 (x [8x28x28x1], weight [3x3x3x16])

An unknown option names the nearest one there is: probe.accuracy: unknown option "limits"; did you mean "limit"?

What the world does wrong, a missing file or a damaged one, is returned: nil, message, code. The code is "io" when the
system refused, "format" when a file does not hold what it should. So assert(image.load(path)) is a picture or an error,
and local picture, message = image.load(path) lets a script go on. Functions that read or write say so: "or nil,
message, code".

In an example, `--> text` is what an entry prints at the prompt; `--> error: text` is what it raises.
]==]

M.environment = [==[
  PENUMBRA_CPU        avx512, avx2 or portable: the kernels to use (default: the processor's best)
  PENUMBRA_DATA       folders in which data sets are looked for by name, separated by colons
  PENUMBRA_GNUPLOT    the program that draws charts (default: gnuplot)
  PENUMBRA_GRAPHICS   kitty, sixel or blocks: how show draws, instead of what the terminal says
  PENUMBRA_PATH       a folder whose modules replace those inside the program (to develop them)
  PENUMBRA_TRACEBACK  1: as --traceback
  LUA_PATH, LUA_CPATH where `require` looks for other modules
]==]

return M
