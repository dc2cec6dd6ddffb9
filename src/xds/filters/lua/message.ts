/**
 * What Envoy calls. Every template is rendered before anything is changed; then set, add, remove, body. Whatever goes wrong, the message is
 * refused, never passed on as it was: Envoy itself would go on after an error of a script.
 */
export const messageLua = String.raw`
local programs, programCount = {}, 0

local function fields(value, key)
  local list, out = value.fields[key], {}
  for i = 1, list and list.n or 0 do
    local entry = list[i]
    out[i] = { entry[1], entry[2], compileTemplate(entry[entry.n]) }
  end
  return out
end

local function names(value, key)
  local list, out = value.fields[key], {}
  for i = 1, list and list.n or 0 do out[i] = list[i] end
  return out
end

-- By its text, so that routes with the same program share it.
local function programOf(handle, key)
  local text = handle:filterContext():get(key)
  if not text then return nil end
  local program = programs[text]
  if program then return program end
  local value = parseJson(text, 10000, 1000000)
  program = {
    set = fields(value, "set"),
    add = fields(value, "add"),
    remove = names(value, "remove"),
    body = value.fields.body and compileTemplate(value.fields.body),
    json = value.fields.parse == "json",
    buffered = value.fields.buffered == true,
    metadata = fields(value, "metadata"),
    requestHeaders = names(value, "requestHeaders"),
  }
  if programCount >= MAX_PROGRAMS then programs, programCount = {}, 0 end
  programs[text], programCount = program, programCount + 1
  return program
end

local function readHeader(headers, name)
  if not find(name, "^:?[%w!#$%%&'*+%-.^_|~]+$") then return "" end
  name = lower(name)
  if name == SCOPE_HEADER then return "" end
  return headers:getAtIndex(name, 0) or ""
end

-- Checked here, as nothing in Envoy does: a line break in a value would be one on the wire.
local function headerValue(name, text)
  text = trim(text)
  if #text > MAX_HEADER_BYTES then fail(400, "the value of header " .. name .. " is too long") end
  if find(text, "[%z\1-\8\10-\31\127]") then fail(400, "the value of header " .. name .. " has control characters") end
  if text == "" then return text end
  if name == ":path" and not find(text, "^/[^%z\1-\32\127]*$") then fail(400, ":path must begin with / and have no spaces") end
  if name == ":method" and (not find(text, "^[%w!#$%%&'*+%-.^_|~]+$") or text == "CONNECT") then fail(400, ":method is not a method") end
  if name == ":authority" and not find(text, "^[%w%-._~%%!$&'()*+,;=:%[%]]+$") then fail(400, ":authority is not a host") end
  if name == ":status" and not find(text, "^[2-5]%d%d$") then fail(400, ":status is not a status from 200 to 599") end
  return text
end

local function renderAll(program)
  local result = { set = {}, add = {}, metadata = {} }
  for i, entry in ipairs(program.set) do result.set[i] = headerValue(entry[1], render(entry[3])) end
  for i, entry in ipairs(program.add) do result.add[i] = headerValue(entry[1], render(entry[3])) end
  for i, entry in ipairs(program.metadata) do result.metadata[i] = render(entry[3]) end
  if program.body then
    result.body = render(program.body)
    if #result.body > MAX_BODY_BYTES then fail(413, "the new body is too large") end
  end
  return result
end

-- Returns what the templates come to; or nil, a status and a text.
local function transform(program, text, header, requestHeader)
  operations, bytes = MAX_OPERATIONS, MAX_BYTES
  local ok, result = pcall(function()
    if #text > MAX_BODY_BYTES then fail(413, "the body is too large") end
    local data = UNDEFINED
    if program.json and text ~= "" then
      data = nil
      if validUtf8(text) then data = parseJson(text, MAX_DEPTH, MAX_VALUES) end
      if data == nil then fail(400, "the body is not JSON, or too deep or too large to be taken as such") end
    end
    message = { body = text, data = data, header = header, requestHeader = requestHeader }
    return renderAll(program)
  end)
  message, scope = nil, nil
  if ok then return result end
  if type(result) == "table" and result.status then return nil, result.status, result.message end
  return nil, 500, tostring(result)
end

local function apply(handle, headers, program, result)
  for i, entry in ipairs(program.set) do
    local name, value = entry[1], result.set[i]
    if value ~= "" then headers:replace(name, value)
    elseif sub(name, 1, 1) ~= ":" then headers:remove(name) end
  end
  for i, entry in ipairs(program.add) do
    if result.add[i] ~= "" then headers:add(entry[1], result.add[i]) end
  end
  for _, name in ipairs(program.remove) do headers:remove(name) end
  if #program.metadata > 0 then
    local metadata = handle:streamInfo():dynamicMetadata()
    for i, entry in ipairs(program.metadata) do metadata:set(entry[1], entry[2], result.metadata[i]) end
  end
end

local function bytesOf(body)
  local size = body and body:length() or 0
  return size > 0 and body:getBytes(0, size) or ""
end

-- A tunnel has no body to wait for.
local function upgrades(headers)
  local connection = headers:get("connection")
  return headers:get(":method") == "CONNECT" or headers:get("upgrade") ~= nil and connection ~= nil and find(lower(connection), "upgrade", 1, true) ~= nil
end

local function explain(handle, status, reason)
  if status ~= 500 then return "The message could not be transformed: " .. reason .. ".\n" end
  handle:logErr("transformation: " .. reason)
  return "The message could not be transformed.\n"
end

local function onRequest(handle)
  local program, later = programOf(handle, "request"), programOf(handle, "response")
  local headers = handle:headers()
  if later and #later.requestHeaders > 0 then
    local seen = { [":seen"] = "true" }
    for _, name in ipairs(later.requestHeaders) do seen[name] = readHeader(headers, name) end
    handle:streamInfo():dynamicMetadata():set(NAMESPACE, "request", seen)
  end
  if not program then return end
  local wait = program.buffered and not upgrades(headers)
  local body = wait and handle:body(true)
  headers = handle:headers() -- after a wait, objects from before it are dead
  local header = function(name) return readHeader(headers, name) end
  local result, status, reason = transform(program, bytesOf(body), header, header)
  if not result then
    handle:streamInfo():dynamicMetadata():set(NAMESPACE, "refused", true)
    handle:respond({ [":status"] = tostring(status), ["content-type"] = "text/plain" }, explain(handle, status, reason))
    return
  end
  apply(handle, headers, program, result)
  if result.body and body then body:setBytes(result.body) end
end

local function onResponse(handle)
  local program = programOf(handle, "response")
  if not program then return end
  local own = handle:streamInfo():dynamicMetadata():get(NAMESPACE) or {}
  if own.refused then return end
  local status = handle:headers():get(":status")
  local seen = own.request
  local requestHeader = function(name)
    name = lower(name)
    if seen and seen[name] then return seen[name] end
    return readHeader(handle:requestHeaders(), name)
  end
  local tunnel = status == "101"
  local body = program.buffered and not tunnel and handle:body(true)
  local headers = handle:headers()
  local header = function(name) return readHeader(headers, name) end
  local result, failure, reason = transform(program, bytesOf(body), header, requestHeader)
  local bodiless = tunnel or status == "204" or status == "304" or (program.body and requestHeader(":method") == "HEAD")
  if not result then
    if failure == 413 then failure = 502 end -- not the fault of the request
    headers:replace(":status", tostring(failure))
    headers:replace("content-type", "text/plain")
    for _, name in ipairs({ "content-encoding", "etag", "last-modified", "cache-control", "grpc-status" }) do headers:remove(name) end
    if not bodiless and requestHeader(":method") ~= "HEAD" then
      local text = explain(handle, failure, reason)
      if not body then body = handle:body(true) end
      body:setBytes(text)
    end
    return
  end
  apply(handle, headers, program, result)
  if tunnel then headers:replace(":status", "101") end
  if result.body and body and not bodiless then body:setBytes(result.body) end
end

-- Envoy would pass the message on as it is when a script fails.
function envoy_on_request(handle)
  local ok, reason = pcall(onRequest, handle)
  if ok then return end
  handle:logErr("transformation: " .. tostring(reason))
  handle:respond({ [":status"] = "500" }, "")
end

function envoy_on_response(handle)
  local ok, reason = pcall(onResponse, handle)
  if ok then return end
  handle:logErr("transformation: " .. tostring(reason))
  local headers = handle:headers()
  headers:replace(":status", "500")
  headers:remove("content-encoding")
  handle:body(true):setBytes("")
end
`;
