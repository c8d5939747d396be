local function safetensors(header, buffer) return string.pack("<s8", header) .. (buffer or "") end

local floats = string.pack("<ffff", 1, -2, 0.5, 1e-40)

return {
  ["valid-two"] = safetensors([[{"__metadata__":{"format":"pt"},"a.weight":{"dtype":"F32","shape":[2,2],]] ..
    [["data_offsets":[0,16]},"a.count":{"dtype":"I64","shape":[],"data_offsets":[16,24]}}]],
    floats .. string.pack("<i8", 7)),
  ["valid-halves"] = safetensors([[{"h":{"dtype":"F16","shape":[3],"data_offsets":[0,6]},]] ..
    [["b":{"dtype":"BF16","shape":[1,1],"data_offsets":[6,8]},"n":{"dtype":"F32","shape":[0,9],"data_offsets":[8,8]}}]],
    "\0\x7c\1\0\xff\xfb\x80\x3f"),
  ["valid-none"] = safetensors "{}",
  ["valid-padded"] = safetensors('{"\\u0061":{"shape":[1],"dtype":"U8","data_offsets":[0,1]}}   ', "x"),
  ["damaged-type"] = safetensors('{"a":{"dtype":"F8_E5M2","shape":[1],"data_offsets":[0,1]}}', "x"),
  ["damaged-large"] = safetensors('{"a":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}',
    string.pack("<i8", 1 << 40)),
  ["damaged-hole"] = safetensors('{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}', "xy"),
  ["damaged-overlap"] = safetensors([[{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},]] ..
    [["b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}]], "xyz"),
  ["damaged-twice"] = safetensors([[{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},]] ..
    [["\u0061":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}]], "xy"),
  ["damaged-sizes"] = safetensors('{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}'),
  ["damaged-length"] = string.pack("<I8", 99999999) .. "{}",
  ["damaged-huge-length"] = string.pack("<I8", ~0) .. "{}",
  ["damaged-name"] = safetensors('{"\\u0000":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', "x"),
  ["damaged-empty"] = "",
}
