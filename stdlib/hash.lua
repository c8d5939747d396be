--- SHA-256 (FIPS 180-4) of a text, for names that must not depend on the machine.
local M = {}

local unpack, format, rep, pack = string.unpack, string.format, string.rep, string.pack

-- The first 32 bits of the fractional parts of the cube roots (K) and square roots (H) of the first primes.
local K, H = {}, {}
do
  -- A double has 18 bits to spare here, and none of these roots lies that close to a multiple of 2^-32.
  local function fraction(root) return math.floor(root % 1 * 4294967296.0) end
  local n, count = 2, 0
  while count < 64 do
    local prime = true
    for d = 2, n - 1 do
      if d * d > n then break end
      if n % d == 0 then prime = false break end
    end
    if prime then
      count = count + 1
      K[count] = fraction(n ^ (1 / 3))
      if count <= 8 then H[count] = fraction(n ^ 0.5) end
    end
    n = n + 1
  end
end

local function rotate(x, n)
  return ((x >> n) | (x << (32 - n))) & 0xFFFFFFFF
end

--- The digest as 64 hexadecimal digits.
---@param text string
---@return string
function M.sha256(text)
  local length = #text
  text = text .. "\128" .. rep("\0", (55 - length) % 64) .. pack(">I8", length * 8)
  local h1, h2, h3, h4, h5, h6, h7, h8 = table.unpack(H)
  local w = {}
  for at = 1, #text, 64 do
    for i = 1, 16 do w[i] = unpack(">I4", text, at + 4 * (i - 1)) end
    for i = 17, 64 do
      local s0 = rotate(w[i - 15], 7) ~ rotate(w[i - 15], 18) ~ (w[i - 15] >> 3)
      local s1 = rotate(w[i - 2], 17) ~ rotate(w[i - 2], 19) ~ (w[i - 2] >> 10)
      w[i] = (w[i - 16] + s0 + w[i - 7] + s1) & 0xFFFFFFFF
    end
    local a, b, c, d, e, f, g, h = h1, h2, h3, h4, h5, h6, h7, h8
    for i = 1, 64 do
      local s1 = rotate(e, 6) ~ rotate(e, 11) ~ rotate(e, 25)
      local t1 = h + s1 + ((e & f) ~ (~e & g)) + K[i] + w[i]
      local s0 = rotate(a, 2) ~ rotate(a, 13) ~ rotate(a, 22)
      local t2 = s0 + ((a & b) ~ (a & c) ~ (b & c))
      h, g, f, e, d, c, b, a = g, f, e, (d + t1) & 0xFFFFFFFF, c, b, a, (t1 + t2) & 0xFFFFFFFF
    end
    h1, h2, h3, h4 = (h1 + a) & 0xFFFFFFFF, (h2 + b) & 0xFFFFFFFF, (h3 + c) & 0xFFFFFFFF, (h4 + d) & 0xFFFFFFFF
    h5, h6, h7, h8 = (h5 + e) & 0xFFFFFFFF, (h6 + f) & 0xFFFFFFFF, (h7 + g) & 0xFFFFFFFF, (h8 + h) & 0xFFFFFFFF
  end
  return format("%08x%08x%08x%08x%08x%08x%08x%08x", h1, h2, h3, h4, h5, h6, h7, h8)
end

return M
