-- Everything that changes a user's history, in one step on the server. `layout.py` describes the text.
-- ARGV[1] is the operation. Numbers are compared and never written: Lua knows doubles only.
--   append: KEYS: one history. ARGV: the most events to keep, the seconds to keep the history (0: for ever),
--           the rows, ordered by time.
--   delete: KEYS: histories. ARGV: the time ('': any), the number of items (-1: any), the items, the number of kinds
--           (-1: any), the kinds.

local BODY = 13  -- where the first row begins

local function header(count) return string.format('%8d,2,\n', count) end
local function time_of(row) return tonumber(string.match(row, '^[^,]+')) end

-- The number of rows; nil for a text that this version does not read, 0 where there is none. Second, whether the rows
-- are of version 1, which had no kinds.
local function count_of(key)
  local head = redis.call('GETRANGE', key, 0, 31)
  if head == '' then return 0, false end
  local count, version = tonumber(string.sub(head, 1, 8)), string.match(head, '^,(%d*),?\n', 9)
  if version == '2' then return count, false end
  if version == '' then return count, true end
  return nil, false
end

local function foreign(key)
  return redis.error_reply('VECREC a history that this version does not read, under the key ' .. key)
end

-- A history as the present version writes it.
local function read(key, old)
  local blob = redis.call('GET', key)
  if not old then return blob end
  return string.sub(blob, 1, 8) .. ',2,\n' .. string.gsub(string.sub(blob, 11), ',\n', ',null,\n')
end

-- Where the rows begin that are not older than a time. No row is longer than 4096 bytes.
local function tail_of(blob, time)
  local span = 4096
  while #blob - span > BODY do
    local start = string.find(blob, '\n', #blob - span, true) + 1
    if time_of(string.sub(blob, start, start + 40)) < time then return start end
    span = span * 4
  end
  return BODY
end

-- A history without its oldest rows, of which one may be kept.
local function cut(blob, excess, kept)
  local at, out = BODY, ''
  while excess > 0 do
    local stop = string.find(blob, '\n', at, true)
    local row = string.sub(blob, at, stop)
    if row == kept then out = row else excess = excess - 1 end
    at = stop + 1
  end
  return string.sub(blob, 1, BODY - 1) .. out .. string.sub(blob, at)
end

-- The rows with those of ARGV from `first` on, and how many are new. Of equal times, a row that exists stays first.
local function merge(blob, first)
  local start = tail_of(blob, time_of(ARGV[first]))
  local rows, places, fresh = {}, {}, {}
  for row in string.gmatch(string.sub(blob, start), '[^\n]+\n') do
    local time, event = string.match(row, '^([^,]+),[^,]+,(.*)$')
    rows[#rows + 1] = {tonumber(time), row}
    places[time .. ',' .. event] = #rows
  end
  for i = first, #ARGV do
    local time, event = string.match(ARGV[i], '^([^,]+),[^,]+,(.*)$')
    local place = places[time .. ',' .. event]
    if place then rows[place][2] = ARGV[i] else fresh[#fresh + 1] = {tonumber(time), ARGV[i]} end
  end
  local out, at = {}, 1
  for _, new in ipairs(fresh) do
    while at <= #rows and rows[at][1] <= new[1] do out[#out + 1] = rows[at][2]; at = at + 1 end
    out[#out + 1] = new[2]
  end
  for i = at, #rows do out[#out + 1] = rows[i][2] end
  return string.sub(blob, BODY, start - 1) .. table.concat(out), #fresh
end

local function append(key, most, ttl, first)
  local count, old = count_of(key)
  if not count then return foreign(key) end
  local most_held = most + math.floor(most / 8)
  local last = string.match(redis.call('GETRANGE', key, -4096, -1), '\n([^\n]+)\n$')
  if count == 0 then
    count = #ARGV - first + 1
    redis.call('SET', key, header(count) .. table.concat(ARGV, '', first))
  elseif not old and time_of(ARGV[first]) > time_of(last) then
    -- The usual case. Its replication and its log are as small as the rows.
    count = count + #ARGV - first + 1
    redis.call('APPEND', key, table.concat(ARGV, '', first))
    redis.call('SETRANGE', key, 0, header(count))
  else
    -- Readers do not see what is over the limit: it must not be found again.
    local over = math.max(0, count - most)
    local rows, fresh = merge(cut(read(key, old), over), first)
    count = count - over + fresh
    redis.call('SET', key, header(count) .. rows)
    -- The latest of the new rows may be older than all others, and stays.
    most_held = most
  end
  -- Readers drop what is over; cutting it off an eighth late makes cutting rare.
  if count > most_held then
    local blob = cut(redis.call('GET', key), count - most, ARGV[#ARGV])
    redis.call('SET', key, header(most) .. string.sub(blob, BODY))
  end
  if ttl > 0 then redis.call('EXPIRE', key, ttl) end
end

-- A set of ARGV, or nil for any, and where the next begins.
local function set_at(place)
  local count = tonumber(ARGV[place])
  if count < 0 then return nil, place + 1 end
  local set = {}
  for i = place + 1, place + count do set[ARGV[i]] = true end
  return set, place + count + 1
end

-- The time, item and kind of a row. Within JSON text a quotation mark follows a backslash, never a comma.
local function event_of(row)
  local time, event = string.match(row, '^([^,]+),[^,]+,(.*),\n$')
  local item, kind = string.match(event, '^(.*),(".*")$')
  if not item then item, kind = string.match(event, '^(.*),(null)$') end
  return time, item, kind
end

local function delete(key, old, time, items, kinds)
  local kept = {}
  for row in string.gmatch(string.sub(read(key, old), BODY), '[^\n]+\n') do
    local at, item, kind = event_of(row)
    local gone = (time == '' or at == time) and (not items or items[item]) and (not kinds or kinds[kind])
    if not gone then kept[#kept + 1] = row end
  end
  -- A server whose memory is full accepts the new text once the old one is gone.
  local ttl = redis.call('PTTL', key)
  redis.call('DEL', key)
  if #kept > 0 then
    redis.call('SET', key, header(#kept) .. table.concat(kept))
    if ttl > 0 then redis.call('PEXPIRE', key, ttl) end
  end
end

if ARGV[1] == 'append' then
  return append(KEYS[1], tonumber(ARGV[2]), tonumber(ARGV[3]), 4)
end
local items, place = set_at(3)
local kinds = set_at(place)
local found = {}
for _, key in ipairs(KEYS) do
  local count, old = count_of(key)
  if not count then return foreign(key) end
  if count > 0 then found[#found + 1] = {key, old} end
end
for _, history in ipairs(found) do delete(history[1], history[2], ARGV[2], items, kinds) end
