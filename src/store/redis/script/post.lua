-- ARGV: owner, most messages, most bytes of them; of each message id, job, run, until when it is sent, its bytes.
local owner, most, most_bytes = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local count = call('HLEN', 'outbox')
local bytes = count > 0 and tonumber(call('HGET', 'state', 'outbox_bytes') or '0') or 0
local order = tonumber(call('HGET', 'state', 'outbox_order') or '0')
local latest, answers = nil, {}
forget()
for place = 6, #ARGV, 5 do
  local id, size = ARGV[place], #ARGV[place + 4]
  if call('HEXISTS', 'outbox', id) == 1 then
    answers[#answers + 1] = 'waits'
  elseif call('ZSCORE', 'outbox:confirmed', id) then
    answers[#answers + 1] = 'confirmed'
  elseif count >= most or bytes + size > most_bytes then
    answers[#answers + 1] = 'full ' .. text(count) .. ' ' .. text(bytes)
  else
    count, bytes, order = count + 1, bytes + size, order + 1
    local header =
      table.concat({ text(order), owner, ARGV[place + 1], ARGV[place + 2], ARGV[place + 3], text(size) }, ' ')
    call('HSET', 'outbox', id, header)
    call('HSET', 'outbox:bytes', id, ARGV[place + 4])
    call('ZADD', 'outbox:order', text(order), id)
    latest = math.max(latest or now, math.floor(tonumber(ARGV[place + 3]) / 1000))
    answers[#answers + 1] = 'kept ' .. text(order)
  end
end
if latest then
  call('HSET', 'state', 'outbox_bytes', text(bytes), 'outbox_order', text(order))
  keep_until(latest + AFTER)
end
return answers
