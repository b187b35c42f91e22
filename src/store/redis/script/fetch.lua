-- ARGV: ids.
local found = {}
for place = 3, #ARGV do
  local header = call('HGET', 'outbox', ARGV[place])
  if header then
    add(found, ARGV[place], header)
  end
end
return found
