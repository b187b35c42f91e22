-- How messages are kept: in `outbox` by id `ORDER OWNER JOB RUN EXPIRES SIZE`, in `outbox:bytes` what is sent. Times are
-- microseconds in `outbox`, milliseconds elsewhere.
local KNOWN, MOST_KNOWN = 3600000, 20000
-- For how long messages that nobody asks for are kept after they have expired.
local AFTER = 7 * 86400000

local function owner_of(header)
  return string.match(header or '', '^%d+ (%S+) ')
end

local function size_of(header)
  return tonumber(string.match(header or '', ' (%d+)$') or '0')
end

-- Ids that were confirmed too long ago, or are too many.
local function forget()
  call('ZREMRANGEBYSCORE', 'outbox:confirmed', '-inf', text(now - KNOWN))
  call('ZREMRANGEBYRANK', 'outbox:confirmed', 0, -MOST_KNOWN - 1)
end

-- Has the keys live at least so long.
local function keep_until(time)
  for _, key in ipairs({ 'outbox', 'outbox:bytes', 'outbox:order' }) do
    if call('PTTL', key) < time - now then
      call('PEXPIRE', key, text(math.max(time - now, 1)))
    end
  end
end

-- What is told of messages: id, header, bytes of each.
local function add(found, id, header)
  found[#found + 1] = id
  found[#found + 1] = header
  found[#found + 1] = call('HGET', 'outbox:bytes', id) or ''
  return #found[#found]
end
