std = "lua54"
max_line_length = 120
include_files = { "**/*.lua", ".luacheckrc" }
exclude_files = { "build", "runs" }
ignore = { "581" } -- `not (a <= b)` is not `a > b` when one is NaN

-- What the runtime in C offers, as an editor's definition file: bodies are empty.
files["stdlib/help/nn.lua"] = { ignore = { "212", "241" } }

files["tests/**/*_spec.lua"] = { std = "+busted" }

-- Recipes and studies see these and no `require`.
local recipes = {
  read_globals = {
    "recipe", "study", "param", "claim", "chart", "rows", "data", "models", "perturb", "attack", "loss", "optim",
    "probe", "px", "include",
  },
}
files["scripts/paper"] = recipes
files["examples/recipes"] = recipes
