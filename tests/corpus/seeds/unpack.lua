local pack = require "seeds.pack"
local entry = pack.tar_entry

local pictures = pack.tar(entry("set/", "", { kind = "5" }), entry("set/cats/1.png", "one"),
  entry("set/dogs/2.png", "two"))
local LINK = 0xa1ff -- the mode of a symbolic link

return {
  ["valid-tar"] = pictures,
  ["valid-tar.gz"] = pack.gzip(pictures, true),
  ["valid-zip"] = pack.zip { { "cats/1.png", "one" }, { "dogs/2.png", "two", method = 8 }, { "empty/", "" } },
  ["valid-dots"] = pack.tar(entry("./", "", { kind = "5" }), entry("./a..b/...", "text")),
  ["damaged-up.tar"] = pack.tar(entry("a", "x"), entry("../b", "x")),
  ["damaged-up-inside.tar"] = pack.tar(entry("a/../../b", "x")),
  ["damaged-up.zip"] = pack.zip { { "a", "x" }, { "../../b", "x" } },
  ["damaged-absolute.tar"] = pack.tar(entry("/tmp/penumbra-was-here", "x")),
  ["damaged-link.tar"] = pack.tar(entry("a", "", { kind = "2", target = ".." }), entry("a/b", "x")),
  ["damaged-hard-link.tar"] = pack.tar(entry("a", "", { kind = "1", target = "/etc/passwd" })),
  ["damaged-link.zip"] = pack.zip { { "a", "..", mode = LINK }, { "a/b", "x" } },
  ["damaged-device.tar"] = pack.tar(entry("a", "", { kind = "3" })),
  ["damaged-pipe.tar"] = pack.tar(entry("a", "", { kind = "6" })),
  ["damaged-twice.tar"] = pack.tar(entry("a", "x"), entry("a", "y")),
  ["damaged-twice.zip"] = pack.zip { { "a", "x" }, { "a", "y" } },
  ["damaged-file-as-folder.tar"] = pack.tar(entry("a", "x"), entry("a/b", "y")),
  ["damaged-control.tar"] = pack.tar(entry("a\27[2Jb", "x")),
  ["damaged-bomb.zip"] = pack.zip { { "a", ("\0"):rep(1000), method = 8, size = 0xfffffff0 } },
  ["damaged-nothing.tar"] = pack.tar(),
}
