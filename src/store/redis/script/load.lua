-- All that is kept of jobs, at one moment. No transaction of commands: one is refused where memory has run out.
local prefix = string.sub(KEYS[1], 1, -8)
return {
  redis.call('HGETALL', prefix .. 'since'), redis.call('HGETALL', prefix .. 'watermarks'),
  redis.call('HGETALL', prefix .. 'owed'), redis.call('SMEMBERS', prefix .. 'paused'),
  redis.call('HGETALL', prefix .. 'open'),
}
