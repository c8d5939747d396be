std = "lua54"
max_line_length = 120
include_files = { "**/*.lua", ".luacheckrc" }
exclude_files = { "build" }
files["tests/**/*_spec.lua"] = { std = "+busted" }
files["scripts/paper"] = { read_globals = { "recipe", "study", "param", "claim", "chart", "rows" } }
