-- ARGV: how many were confirmed, ids, the confirmed ones first.
local confirmed, gone = tonumber(ARGV[3]), 0
for place = 4, #ARGV do
  local id = ARGV[place]
  local header = call('HGET', 'outbox', id)
  if header then
    gone = gone + size_of(header)
    call('HDEL', 'outbox', id)
    call('HDEL', 'outbox:bytes', id)
    call('ZREM', 'outbox:order', id)
  end
  if place - 3 <= confirmed then
    call('ZADD', 'outbox:confirmed', text(now), id)
  end
end
local bytes = tonumber(call('HGET', 'state', 'outbox_bytes') or '0')
call('HSET', 'state', 'outbox_bytes', text(math.max(bytes - gone, 0)))
forget()
call('PEXPIRE', 'outbox:confirmed', KNOWN)
return 1
