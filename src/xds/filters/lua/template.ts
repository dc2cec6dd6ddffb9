/** Programs (JSON that the controller wrote) -> closures, made once a worker. A program is data: nothing of it is ever compiled as Lua. */
export const templateLua = String.raw`
-- Of the message that is being transformed.
local message, scope

local function truthy(value)
  local kind = kindOf(value)
  if kind == "boolean" then return value end
  if kind == "string" then return value ~= "" end
  if kind == "number" then return value ~= 0 end
  if kind == "digits" then return value.number ~= 0 end
  if kind == "list" or kind == "object" then return value.n > 0 end
  return false
end

local function equal(a, b)
  local one, other = kindOf(a), kindOf(b)
  if one == "digits" and other == "digits" and a.raw == b.raw then return true end
  if one == "digits" then a, one = a.number, "number" end
  if other == "digits" then b, other = b.number, "number" end
  if one ~= other then return false end
  if one == "list" or one == "object" then return toJson(a) == toJson(b) end
  return a == b
end

local function contains(container, item)
  local kind = kindOf(container)
  if kind == "string" then
    local text = textOf(item)
    work(1 + floor(#container / 64) * (1 + floor(#text / 64)))
    return find(container, text, 1, true) ~= nil
  end
  if kind == "object" then return kindOf(item) == "string" and container.fields[item] ~= nil end
  if kind ~= "list" then fail(400, "in needs a string, a list or an object") end
  for i = 1, container.n do
    work(1)
    if equal(container[i], item) then return true end
  end
  return false
end

local function ordered(a, b)
  if kindOf(a) == "string" and kindOf(b) == "string" then return a, b end
  return numberOf(a), numberOf(b)
end

local binary = {
  ["=="] = equal,
  ["!="] = function(a, b) return not equal(a, b) end,
  ["<"] = function(a, b) a, b = ordered(a, b) return a < b end,
  ["<="] = function(a, b) a, b = ordered(a, b) return a <= b end,
  [">"] = function(a, b) a, b = ordered(a, b) return a > b end,
  [">="] = function(a, b) a, b = ordered(a, b) return a >= b end,
  ["in"] = function(a, b) return contains(b, a) end,
  ["~"] = function(a, b) return made(textOf(a) .. textOf(b)) end,
  ["+"] = function(a, b)
    if kindOf(a) == "string" and kindOf(b) == "string" then return made(a .. b) end
    return numberOf(a) + numberOf(b)
  end,
  ["-"] = function(a, b) return numberOf(a) - numberOf(b) end,
  ["*"] = function(a, b) return numberOf(a) * numberOf(b) end,
  ["/"] = function(a, b) return numberOf(a) / numberOf(b) end,
  ["//"] = function(a, b) return floor(numberOf(a) / numberOf(b)) end,
  ["%"] = function(a, b) return numberOf(a) % numberOf(b) end,
}

local function listItem(list, index)
  if kindOf(list) ~= "list" then fail(400, "first and last need a list") end
  local item = list[index]
  if item == nil then return UNDEFINED end
  return item
end

local functions = {
  header = function(name) return message.header(textOf(name)) end,
  request_header = function(name) return message.requestHeader(textOf(name)) end,
  get_cookie = function(name) return cookie(message.requestHeader("cookie"), textOf(name), false) end,
  get_cookie_i = function(name) return cookie(message.requestHeader("cookie"), textOf(name), true) end,
  body = function() return message.body end,
  context = function() return message.data end,
  env = function(name) return getenv(name) or "" end,
  substring = function(text, start, length) return substring(textOf(text), numberOf(start), length and numberOf(length)) end,
  base64_encode = function(text) return encode64(textOf(text), "=") end,
  base64_decode = function(text) return decode64(textOf(text)) end,
  base64url_encode = function(text)
    return (gsub(encode64(textOf(text), ""), "[+/]", { ["+"] = "-", ["/"] = "_" }))
  end,
  base64url_decode = function(text)
    text = textOf(text)
    if find(text, "[+/]") then return "" end
    return decode64((gsub(text, "[-_]", { ["-"] = "+", ["_"] = "/" })))
  end,
  replace_with_random = function(text, pattern) return replace(textOf(text), textOf(pattern), randomText()) end,
  replace = function(text, pattern, replacement) return replace(textOf(text), textOf(pattern), textOf(replacement)) end,
  raw_string = function(text) return escapeJson(textOf(text)) end,
  upper = function(text) return made(upper(textOf(text))) end,
  lower = function(text) return made(lower(textOf(text))) end,
  trim = function(text) return trim(textOf(text)) end,
  length = function(value)
    local kind = kindOf(value)
    if kind == "string" then return #value end
    if kind == "list" or kind == "object" then return value.n end
    fail(400, "length needs a string, a list or an object")
  end,
  default = function(value, other)
    if value == UNDEFINED then return other == nil and "" or other end
    return value
  end,
  tojson = function(value) return toJson(value) end,
  string = function(value) return textOf(value) end,
  first = function(list) return listItem(list, 1) end,
  last = function(list) return listItem(list, kindOf(list) == "list" and list.n) end,
  join = function(list, separator)
    if kindOf(list) ~= "list" then fail(400, "join needs a list") end
    local out = {}
    for i = 1, list.n do
      work(1)
      out[i] = textOf(list[i])
    end
    separator = separator and textOf(separator) or ""
    work(floor(#separator * list.n / 64))
    room(#separator * list.n)
    return made(concat(out, separator))
  end,
}

local tests = {
  defined = function(kind) return kind ~= "undefined" end,
  none = function(kind) return kind == "null" end,
  string = function(kind) return kind == "string" end,
  number = function(kind) return kind == "number" or kind == "digits" end,
  boolean = function(kind) return kind == "boolean" end,
  mapping = function(kind) return kind == "object" end,
  sequence = function(kind) return kind == "list" end,
}

local function variable(name)
  local at = scope
  while at do
    local value = at.variables[name]
    if value ~= nil then return value end
    at = at.outer
  end
  local data = message.data
  if kindOf(data) ~= "object" then return UNDEFINED end
  local value = data.fields[name]
  if value == nil then return UNDEFINED end
  return value
end

local function indexed(of, key)
  local kind = kindOf(of)
  if kind == "object" then
    if kindOf(key) ~= "string" then return UNDEFINED end
    local field = of.fields[key]
    if field == nil then return UNDEFINED end
    return field
  end
  if kind == "list" then
    if type(key) ~= "number" then return UNDEFINED end
    local item = of[key < 0 and of.n + key + 1 or key + 1]
    if item == nil then return UNDEFINED end
    return item
  end
  if kind == "undefined" then fail(400, "a value is not defined") end
  return UNDEFINED
end

local compile

local function compileAll(nodes)
  local compiled = {}
  for i = 1, nodes.n do compiled[i] = compile(nodes[i]) end
  return compiled
end

local expressions = {
  l = function(node)
    local value = node[2]
    return function() return value end
  end,
  v = function(node)
    local name = node[2]
    return function() work(1) return variable(name) end
  end,
  ["."] = function(node)
    local of, key = compile(node[2]), compile(node[3])
    return function() work(1) return indexed(of(), key()) end
  end,
  c = function(node)
    local call, args, n = functions[node[2]], compileAll(node[3]), node[3].n
    local a, b, c = args[1], args[2], args[3]
    if n == 0 then return function() work(1) return call() end end
    if n == 1 then return function() work(1) return call(a()) end end
    if n == 2 then return function() work(1) return call(a(), b()) end end
    return function() work(1) return call(a(), b(), c()) end
  end,
  o = function(node)
    local left, right, operator = compile(node[3]), compile(node[4]), node[2]
    if operator == "and" then
      return function() work(1) local value = left() if truthy(value) then return right() end return value end
    end
    if operator == "or" then
      return function() work(1) local value = left() if truthy(value) then return value end return right() end
    end
    local apply = binary[operator]
    return function() work(1) return apply(left(), right()) end
  end,
  ["!"] = function(node)
    local value = compile(node[2])
    return function() return not truthy(value()) end
  end,
  ["-"] = function(node)
    local value = compile(node[2])
    return function() return -numberOf(value()) end
  end,
  ["?"] = function(node)
    local condition, yes, no = compile(node[2]), compile(node[3]), compile(node[4])
    return function() work(1) if truthy(condition()) then return yes() end return no() end
  end,
  t = function(node)
    local test, value = tests[node[2]], compile(node[3])
    return function() work(1) return test(kindOf(value())) end
  end,
  a = function(node)
    local items, n = compileAll(node[2]), node[2].n
    return function()
      work(1 + n)
      local list = { kind = "list", n = n }
      for i = 1, n do list[i] = items[i]() end
      return list
    end
  end,
}

function compile(node)
  return expressions[node[1]](node)
end

local compileTemplate

local statements = {
  p = function(node)
    local value = compile(node[2])
    return function(out)
      work(1)
      local text = textOf(value())
      out.n = out.n + 1
      out[out.n] = made(text)
    end
  end,
  i = function(node)
    local conditions, bodies, n = {}, {}, node[2].n
    for k = 1, n do
      conditions[k], bodies[k] = compile(node[2][k][1]), compileTemplate(node[2][k][2])
    end
    local otherwise = compileTemplate(node[3])
    return function(out)
      work(1)
      for k = 1, n do
        if truthy(conditions[k]()) then return bodies[k](out) end
      end
      return otherwise(out)
    end
  end,
  s = function(node)
    local name, value = node[2], compile(node[3])
    return function()
      work(1)
      scope.variables[name] = value()
    end
  end,
  f = function(node)
    local first, second = node[2][1], node[2][2]
    local over, body, otherwise = compile(node[3]), compileTemplate(node[4]), compileTemplate(node[5])
    return function(out)
      work(1)
      local items = over()
      local kind = kindOf(items)
      if kind ~= "list" and kind ~= "object" then fail(400, "only lists and objects can be looped over") end
      if second and kind ~= "object" then fail(400, "only objects have keys and values to loop over") end
      local n = items.n
      if n == 0 then return otherwise(out) end
      local outer = scope
      for i = 1, n do
        work(2)
        local loop = { kind = "object", n = 5, fields = { index = i, index0 = i - 1, first = i == 1, last = i == n, length = n } }
        local variables = { loop = loop }
        if kind == "list" then variables[first] = items[i]
        else
          variables[first] = items.keys[i]
          if second then variables[second] = items.fields[items.keys[i]] end
        end
        scope = { variables = variables, outer = outer }
        body(out)
      end
      scope = outer
    end
  end,
}

function compileTemplate(nodes)
  local compiled, n = {}, nodes.n
  for i = 1, n do
    local node = nodes[i]
    if type(node) == "string" then
      compiled[i] = function(out)
        work(1)
        out.n = out.n + 1
        out[out.n] = made(node)
      end
    else compiled[i] = statements[node[1]](node) end
  end
  if n == 1 then return compiled[1] end
  return function(out)
    for i = 1, n do compiled[i](out) end
  end
end

local function render(template)
  local out = { n = 0 }
  scope = { variables = {} }
  template(out)
  return concat(out, "", 1, out.n)
end
`;
