local function safetensors(header, buffer) return string.pack("<s8", header) .. (buffer or "") end

local floats = string.pack("<ffff", 1, -2, 0.5, 1e-40)

return {
  ["valid-two"] = safetensors([[{"__metadata__":{"format":"pt"},"a.weight":{"dtype":"F32","shape":[2,2],]] ..
    [["data_offsets":[0,16]},"a.count":{"dtype":"I64","shape":[],"data_offsets":[16,24]}}]],
    floats .. string.pack("<i8", 7)),
  ["valid-halves"] = safetensors([[{"h":{"dtype":"F16","shape":[3],"data_offsets":[0,6]},]] ..
    [["b":{"dtype":"BF16","shape":[1,1],"data_offsets":[6,8]},"n":{"dtype":"F32","shape":[0,9],"data_offsets":[8,8]}}]],
    "\0\x7c\1\0\xff\xfb\x80\x3f"),
  ["valid-integers"] = safetensors([[{"a":{"dtype":"I8","shape":[1],"data_offsets":[0,1]},]] ..
    [["b":{"dtype":"I16","shape":[1],"data_offsets":[1,3]},"c":{"dtype":"U16","shape":[1],"data_offsets":[3,5]},]] ..
    [["d":{"dtype":"I32","shape":[1],"data_offsets":[5,9]},"e":{"dtype":"U32","shape":[1],"data_offsets":[9,13]},]] ..
    [["f":{"dtype":"U64","shape":[1],"data_offsets":[13,21]},]] ..
    [["g":{"dtype":"BOOL","shape":[1],"data_offsets":[21,22]},"h":{"dtype":"F64","shape":[1],"data_offsets":[22,30]}}]],
    string.pack("<i1i2I2i4I4I8Bd", -1, -2, 3, -4, 5, 6, 1, 0.5)),
  ["damaged-U64"] = safetensors('{"a":{"dtype":"U64","shape":[1],"data_offsets":[0,8]}}', ("\xff"):rep(8)),
  ["damaged-U32"] = safetensors('{"a":{"dtype":"U32","shape":[1],"data_offsets":[0,4]}}', ("\xff"):rep(4)),
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
