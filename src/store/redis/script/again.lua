-- ARGV: what told the data apart of which a replica knows; of each job that it knows to be paused its name, and the signature
-- of its pause or nothing. Answers whether the server has other data by now: 1 or 0. Then it has lost the pauses, and has them
-- again.
notice()
if call('HGET', 'state', 'origin') == ARGV[3] then
  return 0
end
call('HSET', 'state', 'origin', ARGV[3])
for place = 4, #ARGV, 2 do
  local job, signature = ARGV[place], ARGV[place + 1]
  call('SADD', 'paused', signature == '' and job or job .. ' ' .. signature)
  know(job)
end
return 1
