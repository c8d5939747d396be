--- SHA-256 (FIPS 180-4), for names that must not depend on the machine and files that must be what they should.
local nn = require "nn"

local M = {}

--- The digest of a text as 64 hexadecimal digits.
---
--- Example:
---     hash.sha256 "abc"  --> ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad
---@param text string
---@return string
function M.sha256(text)
  return nn.sha256(text)
end

--- The digest of a file's bytes.
---
--- Example:
---     file.write("a.txt", "abc")
---     hash.sha256_file "a.txt" == hash.sha256 "abc"  --> true
---@param path string
---@return string? digest, string? message, string? code
function M.sha256_file(path)
  return nn.sha256_file(path)
end

return M
