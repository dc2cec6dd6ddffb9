/** Functions over text. All are linear in what they read and make, except searching, which is charged for its worst case. */
export const textLua = String.raw`
local function textOf(value)
  local kind = kindOf(value)
  if kind == "string" then return value end
  if kind == "number" then return numberText(value) end
  if kind == "digits" then return value.raw end
  if kind == "boolean" then return tostring(value) end
  if kind == "null" then return "none" end
  if kind == "undefined" then fail(400, "a value is not defined") end
  return toJson(value)
end

local function numberOf(value)
  local kind = kindOf(value)
  if kind == "number" then return value end
  if kind == "digits" then return value.number end
  fail(400, "a value is not a number")
end

-- By bytes: a pattern would look at runs of spaces again and again.
local function trim(text)
  local from = find(text, "[^ \t\r\n]")
  if not from then return "" end
  local to = #text
  local c = byte(text, to)
  while c == 32 or c == 9 or c == 10 or c == 13 do
    to = to - 1
    c = byte(text, to)
  end
  work(floor(#text / 64))
  return sub(text, from, to)
end

local function substring(text, start, length)
  local size = #text
  if start ~= floor(start) or start < 0 then fail(400, "substring() starts at a whole number from 0") end
  if start >= size then return "" end
  if not length or length <= 0 or start + length > size then return made(sub(text, start + 1)) end
  return made(sub(text, start + 1, start + floor(length)))
end

local function replace(text, pattern, replacement)
  if pattern == "" then return text end
  work(1 + floor(#text / 64) * (1 + floor(#pattern / 64)))
  local first, last = find(text, pattern, 1, true)
  if not first then return text end
  local out, n, from = {}, 0, 1
  while first do
    work(1)
    out[n + 1] = sub(text, from, first - 1)
    out[n + 2] = made(replacement)
    n = n + 2
    from = last + 1
    first, last = find(text, pattern, from, true)
  end
  out[n + 1] = sub(text, from)
  return made(concat(out))
end

local alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
local letters, values64 = {}, {}
for i = 0, 63 do
  letters[i] = sub(alphabet, i + 1, i + 1)
  values64[byte(alphabet, i + 1)] = i
end

local function encode64(text, padding)
  work(floor(#text / 16))
  local out, n = {}, 0
  for at = 1, #text, 3 do
    local a, b, c = byte(text, at, at + 2)
    local bits = a * 65536 + (b or 0) * 256 + (c or 0)
    n = n + 1
    out[n] = letters[floor(bits / 262144)] .. letters[floor(bits / 4096) % 64]
      .. (b and letters[floor(bits / 64) % 64] or padding) .. (c and letters[bits % 64] or padding)
  end
  return made(concat(out))
end

-- Without padding, or with the one that is due. Empty when it is not base64 of UTF-8.
local function decode64(text)
  work(floor(#text / 16))
  local size = #text
  if size % 4 == 0 then
    if sub(text, -2) == "==" then size = size - 2 elseif sub(text, -1) == "=" then size = size - 1 end
  end
  if size % 4 == 1 then return "" end
  local out, n = {}, 0
  for at = 1, size, 4 do
    local a, b, c, d = byte(text, at, at + 3)
    if at + 2 > size then c, d = nil, nil elseif at + 3 > size then d = nil end
    a, b = values64[a], values64[b]
    if not a or not b then return "" end
    local third, fourth = c and values64[c], d and values64[d]
    if (c and not third) or (d and not fourth) then return "" end
    local bits = a * 262144 + b * 4096 + (third or 0) * 64 + (fourth or 0)
    n = n + 1
    if fourth then out[n] = char(floor(bits / 65536), floor(bits / 256) % 256, bits % 256)
    elseif third then out[n] = char(floor(bits / 65536), floor(bits / 256) % 256)
    else out[n] = char(floor(bits / 65536)) end
  end
  local decoded = made(concat(out))
  return validUtf8(decoded) and decoded or ""
end

local function randomText()
  local random = entropy and entropy:read(16)
  if not random then fail(500, "there is no random source") end
  return (gsub(encode64(random, ""), "=", ""))
end

-- RFC 6265: pairs divided by semicolons; the first of a name counts.
local function cookie(header, name, anyCase)
  if not header then return "" end
  if anyCase then name = lower(name) end
  local from, size, equals = 1, #header, 0
  work(1 + floor(size / 64))
  while from <= size do
    local stop = find(header, ";", from, true) or size + 1
    if equals < from then equals = find(header, "=", from, true) end
    work(1)
    if not equals then return "" end
    if equals < stop then
      local key = trim(sub(header, from, equals - 1))
      if key == name or (anyCase and lower(key) == name) then
        local value = trim(sub(header, equals + 1, stop - 1))
        if #value > 1 and byte(value) == 34 and byte(value, #value) == 34 then value = sub(value, 2, -2) end
        return value
      end
    end
    from = stop + 1
  end
  return ""
end
`;
