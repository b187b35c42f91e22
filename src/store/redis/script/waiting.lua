-- ARGV: owner, the place behind which they are, how many at most, how many bytes.
local owner, limit, most = ARGV[3], tonumber(ARGV[5]) * 3, tonumber(ARGV[6])
local found, bytes, from = {}, 0, '(' .. ARGV[4]
while #found < limit do
  local ids = call('ZRANGEBYSCORE', 'outbox:order', from, '+inf', 'WITHSCORES', 'LIMIT', 0, 1000)
  for place = 1, #ids, 2 do
    local header = call('HGET', 'outbox', ids[place])
    if header and owner_of(header) == owner then
      local size = size_of(header)
      if #found >= limit or (bytes + size > most and #found > 0) then
        return found
      end
      bytes = bytes + add(found, ids[place], header)
    end
  end
  if #ids < 2000 then
    break
  end
  from = '(' .. ids[#ids]
end
return found
