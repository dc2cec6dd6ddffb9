/** Shared head of the runtime: what it uses of Lua, and how it gives up. Templates reach none of these names. */
export const headLua = String.raw`
local find, sub, byte, char = string.find, string.sub, string.byte, string.char
local upper, lower, format, gsub = string.upper, string.lower, string.format, string.gsub
local concat, floor, tonumber, tostring, type, pcall, error = table.concat, math.floor, tonumber, tostring, type, pcall, error
local ipairs, getenv = ipairs, os.getenv
local entropy = io.open("/dev/urandom", "rb")

-- Of the message that is being transformed. Nothing yields while it is.
local operations, bytes = 0, 0

local function fail(status, message)
  error({ status = status, message = message }, 0)
end

local function work(count)
  operations = operations - count
  if operations < 0 then fail(413, "the template takes too many operations on this message") end
end

local function room(size)
  if size > bytes then fail(413, "the template makes too much text of this message") end
end

local function made(text)
  room(#text)
  bytes = bytes - #text
  return text
end
`;
