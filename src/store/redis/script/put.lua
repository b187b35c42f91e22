-- KEYS[2]: where the Python service caches its rows. ARGV: the expected version, the snapshot, whether there are rows, they,
-- a version that the new one is greater than. What tells our rows from the service's own is kept beside the snapshot.
local version = call('HGET', 'snapshot', 'version') or '0'
local bytes = call('HGET', 'snapshot', 'bytes')
if (bytes and version or '0') ~= ARGV[3] then
  return bytes and { '0', version, bytes } or { '0' }
end
version = text(math.max(tonumber(version), tonumber(ARGV[7])) + 1)
call('HSET', 'snapshot', 'version', version, 'bytes', ARGV[4])
if ARGV[5] == '1' then
  redis.call('SET', KEYS[2], ARGV[6])
  call('HSET', 'snapshot', 'rows', redis.sha1hex(ARGV[6]))
end
return { version }
