"""What Redis does in one step each, in its Lua. The keys are those of `redis_streams`."""

from typing import Final

__all__ = ["BURY", "CLAIM", "LEAVE", "PUBLISH", "RETRY"]

PUBLISH: Final = """
-- KEYS: stream, position. ARGV: position afterwards, seconds it is kept (0: for ever), capacity
-- (0: none), overflow, the position expected ('': any), then number, kind, body, key of each.
local stream = KEYS[1]
local known = tonumber(redis.call('GET', KEYS[2]) or '-1')
local capacity, overflow = tonumber(ARGV[3]), ARGV[4]
if ARGV[5] ~= '' and tonumber(ARGV[5]) ~= known then
  return redis.error_reply('ELSEWHERE ' .. known)
end
local many, skip = (#ARGV - 5) / 4, 0
while skip < many and tonumber(ARGV[6 + 4 * skip]) <= known do skip = skip + 1 end

local function less(a, b)
  local am, as = string.match(a, '(%d+)-(%d+)')
  local bm, bs = string.match(b, '(%d+)-(%d+)')
  am, as, bm, bs = tonumber(am), tonumber(as), tonumber(bm), tonumber(bs)
  return am < bm or (am == bm and as < bs)
end

-- What every group has acknowledged goes, once it is worth the look.
local length = redis.call('XLEN', stream)
if length > 0 and (length >= 10000 or (capacity > 0 and length + many - skip > capacity)) then
  local least
  for _, group in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local of = {}
    for at = 1, #group, 2 do of[group[at]] = group[at + 1] end
    local needs
    if of['pending'] > 0 then
      needs = redis.call('XPENDING', stream, of['name'])[2]
    else
      local ms, sequence = string.match(of['last-delivered-id'], '(%d+)-(%d+)')
      needs = ms .. '-' .. (tonumber(sequence) + 1)
    end
    if not least or less(needs, least) then least = needs end
  end
  if least then
    redis.call('XTRIM', stream, 'MINID', least)
    length = redis.call('XLEN', stream)
  end
end
if capacity > 0 and overflow ~= 'drop_oldest' and length + many - skip > capacity then
  return redis.error_reply('FULL ' .. length)
end

for at = skip, many - 1 do
  local base = 6 + at * 4
  if capacity > 0 and overflow == 'drop_oldest' then
    redis.call('XADD', stream, 'MAXLEN', '~', capacity, '*',
      'kind', ARGV[base + 1], 'body', ARGV[base + 2], 'key', ARGV[base + 3])
  else
    redis.call('XADD', stream, '*',
      'kind', ARGV[base + 1], 'body', ARGV[base + 2], 'key', ARGV[base + 3])
  end
end
if tonumber(ARGV[1]) > known then
  if ARGV[2] == '0' then
    redis.call('SET', KEYS[2], ARGV[1])
  else
    redis.call('SET', KEYS[2], ARGV[1], 'EX', ARGV[2])
  end
end
return many - skip
"""

_MOVE: Final = """
-- A message of the group becomes a dead letter, once, whoever says so.
local function bury(stream, dead, group, id, reason, attempts, kept)
  local found = redis.call('XRANGE', stream, id, id)
  if redis.call('XACK', stream, group, id) == 0 then return 0 end
  if #found == 0 then return 0 end
  local fields = found[1][2]
  local extra = {'!id', id, '!reason', reason, '!attempts', attempts}
  for at = 1, #extra do fields[#fields + 1] = extra[at] end
  redis.call('XADD', dead, 'MAXLEN', '~', kept, '*', unpack(fields))
  return 1
end
"""

CLAIM: Final = (
    _MOVE
    + """
-- KEYS: stream, dead letters. ARGV: group, consumer, ms until it comes again, most attempts, limit,
-- dead letters kept. Gives [id, fields, attempts] of what comes again.
local stream, dead = KEYS[1], KEYS[2]
local group, idle = ARGV[1], ARGV[3]
local out = {}
for _, one in ipairs(redis.call('XPENDING', stream, group, 'IDLE', idle, '-', '+', ARGV[5])) do
  local id, attempts = one[1], one[4]
  if attempts >= tonumber(ARGV[4]) then
    bury(stream, dead, group, id, 'it was not acknowledged in time', attempts, ARGV[6])
  else
    local got = redis.call('XCLAIM', stream, group, ARGV[2], idle, id)
    if #got == 1 and got[1] then out[#out + 1] = {got[1][1], got[1][2], attempts + 1} end
  end
end
return out
"""
)

BURY: Final = (
    _MOVE
    + """
-- KEYS: stream, dead letters. ARGV: group, id, reason, attempts, dead letters kept.
return bury(KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5])
"""
)

RETRY: Final = """
-- KEYS: dead letters, those that go to the group again. ARGV: limit.
local found = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', ARGV[1])
for _, one in ipairs(found) do
  local fields, kept = one[2], {}
  for at = 1, #fields, 2 do
    if string.sub(fields[at], 1, 1) ~= '!' then
      kept[#kept + 1] = fields[at]
      kept[#kept + 1] = fields[at + 1]
    end
  end
  redis.call('XADD', KEYS[2], '*', unpack(kept))
  redis.call('XDEL', KEYS[1], one[1])
end
return #found
"""

LEAVE: Final = """
-- KEYS: stream. ARGV: group, own name, ms. Consumers go that have nothing in flight: this one, and
-- those of processes that died long ago. With messages in flight they stay, or these would be lost.
local answer = redis.pcall('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])
if answer.err then return 0 end
local gone = 0
for _, consumer in ipairs(answer) do
  local of = {}
  for at = 1, #consumer, 2 do of[consumer[at]] = consumer[at + 1] end
  local is_over = of['name'] == ARGV[2] or of['idle'] >= tonumber(ARGV[3])
  if is_over and of['pending'] == 0 then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], of['name'])
    gone = gone + 1
  end
end
return gone
"""
