-- ARGV: what told the data apart of which a replica knows; what tells this question apart from any but its repetitions; for how
-- long others may have found no data, in milliseconds; of each job that it knows to be paused its name, and the signature of
-- its pause or nothing. Answers whether the server had lost the data when this was asked first, and has the pauses again: 1 or 0.
notice()
local origin, question, expiry = ARGV[3], ARGV[4], tonumber(ARGV[5])
local found = call('HGET', 'state', 'origin')
if found == origin then
  -- Whoever was not answered asks again.
  return call('HGET', 'state', 'again') == question and 1 or 0
end
-- Those that have lived with other data for longer have paused and resumed since, and are right.
if found and now >= tonumber(call('HGET', 'state', 'origin_at') or '0') + expiry then
  return 0
end
call('HSET', 'state', 'origin', origin, 'again', question)
if not found then
  call('HSET', 'state', 'origin_at', text(now))
end
for place = 6, #ARGV, 2 do
  local job, signature = ARGV[place], ARGV[place + 1]
  call('SADD', 'paused', signature == '' and job or job .. ' ' .. signature)
  know(job)
end
return 1
