local planes = {}
for i = 0, 3071 do planes[#planes + 1] = string.char(i * 7 % 256) end
local pixels = table.concat(planes)

return {
  ["valid-10"] = "\9" .. pixels,
  ["valid-100"] = "\19\99" .. pixels,
  ["damaged-label"] = "\10" .. pixels,
  ["damaged-coarse"] = "\20\1" .. pixels,
  ["damaged-short"] = "\1" .. pixels:sub(1, -2),
  ["damaged-empty"] = "",
}
