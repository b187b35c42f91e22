-- ARGV: owner, those who live.
local owner, alive = ARGV[3], {}
for place = 4, #ARGV do
  alive[ARGV[place]] = true
end
local known, adopted = read_replicas(), 0
local all = call('HGETALL', 'outbox')
for place = 1, #all, 2 do
  local other = owner_of(all[place + 1])
  if other and other ~= owner and not alive[other] and not lives(known, other) then
    local order, rest = string.match(all[place + 1], '^(%d+) %S+ (.*)$')
    call('HSET', 'outbox', all[place], order .. ' ' .. owner .. ' ' .. rest)
    adopted = adopted + 1
  end
end
return adopted
