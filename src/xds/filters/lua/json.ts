/** JSON text -> values of templates, and values -> text. Objects keep the order of their fields, numbers that a double cannot print their digits. */
export const jsonLua = String.raw`
local NULL, UNDEFINED = { kind = "null" }, { kind = "undefined" }

local function kindOf(value)
  local t = type(value)
  if t == "table" then return value.kind end
  return t
end

-- By bytes, which LuaJIT compiles; patterns it does not.
local function validUtf8(text)
  local at, size = find(text, "[\128-\255]"), #text
  if not at then return true end
  while at <= size do
    local a = byte(text, at)
    if a < 0x80 then at = at + 1
    else
      local b = byte(text, at + 1) or 0
      local least, most = 0x80, 0xBF
      if a == 0xE0 then least = 0xA0 elseif a == 0xF0 then least = 0x90 end
      if a == 0xED then most = 0x9F elseif a == 0xF4 then most = 0x8F end
      if a < 0xC2 or a > 0xF4 or b < least or b > most then return false end
      at = at + 2
      local more = 0
      if a >= 0xF0 then more = 2 elseif a >= 0xE0 then more = 1 end
      for _ = 1, more do
        local c = byte(text, at) or 0
        if c < 0x80 or c > 0xBF then return false end
        at = at + 1
      end
    end
  end
  return true
end

local function utf8Of(code)
  if code < 0x80 then return char(code) end
  if code < 0x800 then return char(0xC0 + floor(code / 64), 0x80 + code % 64) end
  if code < 0x10000 then return char(0xE0 + floor(code / 4096), 0x80 + floor(code / 64) % 64, 0x80 + code % 64) end
  return char(0xF0 + floor(code / 262144), 0x80 + floor(code / 4096) % 64, 0x80 + floor(code / 64) % 64, 0x80 + code % 64)
end

local function numberText(value)
  if value ~= value or value == 1 / 0 or value == -1 / 0 then fail(400, "a number is out of range") end
  if value == floor(value) and value > -1e15 and value < 1e15 then return format("%d", value) end
  for digits = 15, 17 do
    local text = format("%." .. digits .. "g", value)
    if tonumber(text) == value then return text end
  end
end

local escapes = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t", ['"'] = '"', ["\\"] = "\\", ["/"] = "/" }

-- Returns nil and where it stopped when the text is not JSON, nests deeper than depth or has more than values.
local function parseJson(text, depth, values)
  local at, bad = 1, {}
  local value

  local function stop() error(bad, 0) end

  local function token()
    at = find(text, "[^ \t\r\n]", at) or #text + 1
    return byte(text, at)
  end

  local function unicode()
    local digits = sub(text, at + 1, at + 4)
    if not find(digits, "^%x%x%x%x$") then stop() end
    at = at + 5
    return tonumber(digits, 16)
  end

  local function stringValue()
    local parts, count, from = {}, 0, at + 1
    while true do
      at = find(text, '[%z\1-\31"\\]', from)
      if not at then stop() end
      local c = byte(text, at)
      count = count + 1
      parts[count] = sub(text, from, at - 1)
      if c == 34 then
        at = at + 1
        return count == 1 and parts[1] or concat(parts)
      end
      if c ~= 92 then stop() end
      at = at + 1
      local letter = sub(text, at, at)
      count = count + 1
      if letter == "u" then
        local code = unicode()
        if code >= 0xDC00 and code <= 0xDFFF then stop() end
        if code >= 0xD800 and code <= 0xDBFF then
          if sub(text, at, at + 1) ~= "\\u" then stop() end
          at = at + 1
          local low = unicode()
          if low < 0xDC00 or low > 0xDFFF then stop() end
          code = 0x10000 + (code - 0xD800) * 1024 + (low - 0xDC00)
        end
        parts[count] = utf8Of(code)
        from = at
      else
        parts[count] = escapes[letter] or stop()
        from = at + 1
      end
    end
  end

  local function numberValue()
    local from = at
    local _, last = find(text, "^-?%d+", at)
    if not last or find(text, "^-?0%d", at) then stop() end
    at = last + 1
    _, last = find(text, "^%.%d+", at)
    at = (last or at - 1) + 1
    _, last = find(text, "^[eE][+-]?%d+", at)
    at = (last or at - 1) + 1
    if at - from > 400 then stop() end
    local raw = sub(text, from, at - 1)
    local number = tonumber(raw)
    if not number then stop() end
    if number == floor(number) and #raw < 16 and not find(raw, "[.eE]") and raw ~= "-0" then return number end
    return { kind = "digits", raw = raw, number = number }
  end

  local function list(level)
    local items, n = { kind = "list" }, 0
    at = at + 1
    if token() == 93 then
      at = at + 1
      items.n = 0
      return items
    end
    while true do
      n = n + 1
      items[n] = value(level)
      local c = token()
      at = at + 1
      if c == 93 then
        items.n = n
        return items
      end
      if c ~= 44 then stop() end
    end
  end

  local function object(level)
    local keys, fields, n = {}, {}, 0
    at = at + 1
    if token() == 125 then
      at = at + 1
      return { kind = "object", n = 0, keys = keys, fields = fields }
    end
    while true do
      if token() ~= 34 then stop() end
      local key = stringValue()
      if token() ~= 58 then stop() end
      at = at + 1
      local field = value(level)
      if fields[key] == nil then
        n = n + 1
        keys[n] = key
      end
      fields[key] = field
      local c = token()
      at = at + 1
      if c == 125 then return { kind = "object", n = n, keys = keys, fields = fields } end
      if c ~= 44 then stop() end
    end
  end

  function value(level)
    values = values - 1
    if values < 0 or level > depth then stop() end
    local c = token()
    if c == 34 then return stringValue() end
    if c == 123 then return object(level + 1) end
    if c == 91 then return list(level + 1) end
    if c == 116 and sub(text, at, at + 3) == "true" then
      at = at + 4
      return true
    end
    if c == 102 and sub(text, at, at + 4) == "false" then
      at = at + 5
      return false
    end
    if c == 110 and sub(text, at, at + 3) == "null" then
      at = at + 4
      return NULL
    end
    return numberValue()
  end

  local ok, result = pcall(function()
    local whole = value(0)
    if token() then stop() end
    return whole
  end)
  if ok then return result end
  if result ~= bad then error(result, 0) end
  return nil, at
end

local controls = { ["\b"] = "\\b", ["\f"] = "\\f", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ['"'] = '\\"', ["\\"] = "\\\\" }

local function escapeJson(text)
  work(floor(#text / 64))
  if not find(text, '[%z\1-\31"\\]') then return text end
  return made((gsub(text, '[%z\1-\31"\\]', function(c) return controls[c] or format("\\u%04x", byte(c)) end)))
end

local function appendJson(value, out, n)
  work(1)
  local kind = kindOf(value)
  if kind == "string" then
    out[n + 1] = '"'
    out[n + 2] = made(escapeJson(value))
    out[n + 3] = '"'
    return n + 3
  end
  if kind == "list" then
    out[n + 1] = "["
    n = n + 1
    for i = 1, value.n do
      if i > 1 then
        n = n + 1
        out[n] = ","
      end
      n = appendJson(value[i], out, n)
    end
    out[n + 1] = "]"
    return n + 1
  end
  if kind == "object" then
    out[n + 1] = "{"
    n = n + 1
    for i = 1, value.n do
      if i > 1 then
        n = n + 1
        out[n] = ","
      end
      n = appendJson(value.keys[i], out, n)
      out[n + 1] = ":"
      n = appendJson(value.fields[value.keys[i]], out, n + 1)
    end
    out[n + 1] = "}"
    return n + 1
  end
  if kind == "number" then out[n + 1] = numberText(value)
  elseif kind == "digits" then out[n + 1] = value.raw
  elseif kind == "boolean" then out[n + 1] = tostring(value)
  elseif kind == "null" then out[n + 1] = "null"
  else fail(400, "a value is not defined") end
  return n + 1
end

local function toJson(value)
  local out = {}
  return made(concat(out, "", 1, appendJson(value, out, 0)))
end
`;
