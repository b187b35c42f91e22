-- ARGV: replica, fencing, expiry in milliseconds, whether it was alone, whether it leaves, host, what others are told of it,
-- for how long runs wait for somebody on their host, in milliseconds.
notice()
local me, fencing, expiry, alone, leaving = ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6] == '1', ARGV[7] == '1'
local host, about, host_first = ARGV[8], ARGV[9], tonumber(ARGV[10])
local known = read_replicas()
local others = {}
for replica, life in pairs(known) do
  if replica ~= me and lives(known, replica) then
    others[#others + 1] = replica
    others[#others + 1] = life.about
  end
end
local returned = tonumber(call('HGET', 'state', 'returned') or '0')
local sweep = call('HGET', 'state', 'sweep') == '1'

local function keep(life)
  known[me] = life
  call('HSET', 'replicas', me, table.concat({
    life.fencing, text(life.beat), text(life.expiry), text(life.hold), host, about,
  }, ' '))
end

if fencing == '0' then
  fencing = text(call('HINCRBY', 'state', 'fence', 1))
  if not call('HGET', 'state', 'origin') then
    call('HSET', 'state', 'origin', me, 'origin_at', text(now))
  end
  local hold = now
  if #others > 0 then
    hold = now + expiry
  elseif not alone then
    hold = math.max(now, returned + expiry)
  end
  sweep = sweep or known[me] ~= nil
  keep({ fencing = fencing, beat = now, expiry = expiry, hold = hold, host = host })
elseif not holds(known, me, fencing) then
  fencing = '0'
else
  keep({ fencing = fencing, beat = now, expiry = expiry, hold = known[me].hold, host = host })
end
if leaving then
  if fencing ~= '0' then
    keep({ fencing = fencing, beat = now, expiry = 0, hold = known[me].hold, host = host })
  end
  fencing = '0'
end

local orphans, lost = {}, {}

-- Has a run told to the one that asks: its line. None where nothing is known of it any more.
local function tell(run)
  local json = call('HGET', 'records', run)
  if not json then
    call('HDEL', 'open', run)
    return nil
  end
  lost[#lost + 1] = json
  return 's ' .. run .. ' ' .. me
end

local function look()
  local any_dead = false
  for replica, life in pairs(known) do
    if now >= life.beat + life.expiry + host_first then
      call('HDEL', 'replicas', replica)
      known[replica] = nil
      sweep = true
    elseif now >= life.beat + life.expiry then
      any_dead = true
    end
  end
  -- Just after the server's return those that live may not have said so yet.
  if not (sweep or any_dead) or now < returned + expiry then
    return
  end
  local left, taken, all = false, 0, call('HGETALL', 'fires')
  for place = 1, #all, 2 do
    local job, lines, changed = all[place], {}, false
    for line in string.gmatch(all[place + 1], '[^\n]+') do
      local run, replica = string.match(line, '^s (%S+ %S+) (.*)$')
      if run and lives(known, replica) then
        -- Its owner took it over, and has not dealt with it yet: it may not even have heard that it did.
        if call('HGET', 'open', run) ~= replica then
          left = true
          if replica == me then
            line = tell(run)
          end
        end
      elseif run then
        left = true
        if not (known[replica] and known[replica].host ~= host) and taken < 200 then
          -- It stays open as the dead one's.
          taken = taken + 1
          line = tell(run)
          changed = true
        end
      else
        local mark, number, owner = string.match(line, '^%a (%S+ %S+ %S+) (%d+) (.*)$')
        if mark and not holds(known, owner, number) then
          left = true
          if #orphans < 2000 then
            orphans[#orphans + 1] = job
            orphans[#orphans + 1] = mark
          end
        end
      end
      if line then
        lines[#lines + 1] = line
      else
        changed = true
      end
    end
    if changed and #lines == 0 then
      call('HDEL', 'fires', job)
    elseif changed then
      call('HSET', 'fires', job, table.concat(lines, '\n') .. '\n')
    end
  end
  sweep = left
end
if fencing ~= '0' then
  look()
end
call('HSET', 'state', 'sweep', sweep and '1' or '0')
return { fencing, call('HGET', 'state', 'generation') or '0', others, call('SMEMBERS', 'paused'), orphans, lost,
  #others == 0 and now >= returned + expiry and 1 or 0, call('HGET', 'state', 'origin') or '' }
