"""How a user's events are kept in Redis: one text of JSON rows under one key.

A history is a count of eight characters, then one row an event, oldest first::

         2,
    978300019,5,1193
    978302109.5,null,"tt0073486"

Each row is time, rating and item as JSON, and ends with a comma and a newline. JSON escapes newlines: no row holds one.
Within brackets the whole text is one flat JSON array: one GET and one call of the C parser read it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from json.encoder import encode_basestring

from vecrec.errors import StoreError
from vecrec.ids import Id
from vecrec.metadata_stores.events import stored_events
from vecrec.types import Event

__all__ = ["APPEND", "decode_history", "encode_rows"]

# KEYS: the history. ARGV: the most events to keep, the seconds to keep the history (0: for ever), rows ordered by time.
# Only on the server are read, merge and write one step. Numbers are compared and never written: Lua knows doubles only.
APPEND = r"""
local key, most, ttl = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local added, body = #ARGV - 2, 11

local function count_of(n) return string.format('%8d', n) end
local function time_of(row) return tonumber(string.match(row, '^[^,]+')) end

-- Where the rows begin that are not older than a time. No row is longer than 4096 bytes.
local function tail_of(blob, time)
  local span = 4096
  while #blob - span > body do
    local start = string.find(blob, '\n', #blob - span, true) + 1
    if time_of(string.sub(blob, start, start + 40)) < time then return start end
    span = span * 4
  end
  return body
end

-- A history without its oldest rows.
local function cut(blob, rows)
  local at = body - 1
  for _ = 1, rows do at = string.find(blob, '\n', at + 1, true) end
  return string.sub(blob, 1, body - 1) .. string.sub(blob, at + 1)
end

-- Of equal times, what is there already stays first.
local function merge(blob)
  local start = tail_of(blob, time_of(ARGV[3]))
  local rows, places, fresh = {}, {}, {}
  for row in string.gmatch(string.sub(blob, start), '[^\n]+\n') do
    local time, item = string.match(row, '^([^,]+),[^,]+,(.*)$')
    rows[#rows + 1] = {tonumber(time), row}
    places[time .. ',' .. item] = #rows
  end
  for i = 3, #ARGV do
    local time, item = string.match(ARGV[i], '^([^,]+),[^,]+,(.*)$')
    local place = places[time .. ',' .. item]
    if place then rows[place][2] = ARGV[i] else fresh[#fresh + 1] = {tonumber(time), ARGV[i]} end
  end
  local out, at = {}, 1
  for _, new in ipairs(fresh) do
    while at <= #rows and rows[at][1] <= new[1] do out[#out + 1] = rows[at][2]; at = at + 1 end
    out[#out + 1] = new[2]
  end
  for i = at, #rows do out[#out + 1] = rows[i][2] end
  return string.sub(blob, body, start - 1) .. table.concat(out), #fresh
end

local count = added
if redis.call('STRLEN', key) == 0 then
  redis.call('SET', key, count_of(count) .. ',\n' .. table.concat(ARGV, '', 3))
else
  count = tonumber(redis.call('GETRANGE', key, 0, 7))
  local last = string.match(redis.call('GETRANGE', key, -4096, -1), '\n([^\n]+)\n$')
  if time_of(ARGV[3]) > time_of(last) then
    -- The usual case. Its replication and its log are as small as the rows.
    count = count + added
    redis.call('APPEND', key, table.concat(ARGV, '', 3))
    redis.call('SETRANGE', key, 0, count_of(count))
  else
    -- What is over the limit is gone already, for all that anybody can see: it must not be found again.
    local over = math.max(0, count - most)
    local rows, fresh = merge(cut(redis.call('GET', key), over))
    count = count - over + fresh
    redis.call('SET', key, count_of(count) .. ',\n' .. rows)
  end
end

-- Readers drop what is over; cutting it off an eighth late makes cutting rare.
if count > most + math.floor(most / 8) then
  local blob = cut(redis.call('GET', key), count - most)
  redis.call('SET', key, count_of(most) .. string.sub(blob, 9))
end
if ttl > 0 then redis.call('EXPIRE', key, ttl) end
"""

_EXACT = 1e15


def encode_rows(events: Iterable[Event]) -> list[str]:
    """The rows of one user's events, ordered by time; of equal times the given order stays."""
    ordered = sorted(events, key=lambda event: event.time or 0.0)
    return [f"{_number(event.time)},{_number(event.rating)},{_item(event.item_id)},\n" for event in ordered]


def decode_history(user_id: Id, text: bytes, limit: int) -> list[Event]:
    """The last ``limit`` events of a history.

    Raises:
        StoreError: for a text that is no history.
    """
    try:
        flat = json.loads(b"[%b]" % text[:-2])
        first = max(1, len(flat) - 3 * limit)
        times, ratings, items = flat[first::3], flat[first + 1 :: 3], flat[first + 2 :: 3]
        return stored_events(user_id, items, map(float, times), [None if r is None else float(r) for r in ratings])
    except (ValueError, TypeError) as error:
        raise StoreError(
            f"the events of user {user_id!r} cannot be read: {text[:60]!r}; something else than vecrec wrote them"
        ) from error


def _number(value: float | None) -> str:
    # Whole numbers are written as such: Python parses them three times faster than floats.
    if value is None:
        return "null"
    return str(int(value)) if -_EXACT < value < _EXACT and value.is_integer() else repr(value)


def _item(item: Id) -> str:
    return encode_basestring(item) if isinstance(item, str) else str(item)
