-- ARGV: how many were confirmed, who gives the others up, ids, the confirmed ones first. What was confirmed goes whosever it
-- is; what is given up goes unless somebody else has it.
local confirmed, owner, gone = tonumber(ARGV[3]), ARGV[4], 0
for place = 5, #ARGV do
  local id = ARGV[place]
  local is_confirmed = place - 4 <= confirmed
  local header = call('HGET', 'outbox', id)
  if header and (is_confirmed or (owner_of(header) or owner) == owner) then
    gone = gone + size_of(header)
    call('HDEL', 'outbox', id)
    call('HDEL', 'outbox:bytes', id)
    call('ZREM', 'outbox:order', id)
  end
  if is_confirmed then
    call('ZADD', 'outbox:confirmed', text(now), id)
  end
end
local bytes = tonumber(call('HGET', 'state', 'outbox_bytes') or '0')
call('HSET', 'state', 'outbox_bytes', text(math.max(bytes - gone, 0)))
forget()
call('PEXPIRE', 'outbox:confirmed', KNOWN)
return 1
