-- ARGV: replica, the generation to go on from.
notice()
local known = read_replicas()
local generation = tonumber(call('HGET', 'state', 'generation') or '0')
for replica in pairs(known) do
  if replica ~= ARGV[3] and lives(known, replica) then
    return { 'kept', text(generation) }
  end
end
generation = math.max(generation, tonumber(ARGV[4])) + 1
call('HSET', 'state', 'generation', text(generation))
return { 'opened', text(generation) }
