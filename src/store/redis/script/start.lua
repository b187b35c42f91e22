-- ARGV: replica, fencing, whether claims are not compared, most runs, their age, most bytes; of each start job, mark,
-- whether a claim is asked for, whether the watermark moves, `RUN ATTEMPT`, the record.
notice()
local me, fencing, careless = ARGV[3], ARGV[4], ARGV[5] == '1'
local count = (#ARGV - 8) / 6
local answers = {}
local known = read_replicas()
if fencing ~= LOCAL and not careless and not holds(known, me, fencing) then
  for place = 1, count do
    answers[place] = 'fenced'
  end
  return answers
end

local jobs, seen = {}, {}
for place = 9, #ARGV, 6 do
  if not seen[ARGV[place]] then
    seen[ARGV[place]] = true
    jobs[#jobs + 1] = ARGV[place]
  end
end
local claims, marks, fires =
  get_all('claims', jobs), get_all('watermarks', jobs), get_all('fires', jobs)
local new_claims, new_marks, new_fires = {}, {}, {}

local function decide(job, mark, is_claimed, is_due, run, json)
  local list = fires[job] or ''
  local line = 's ' .. run .. ' ' .. me .. '\n'
  if string.find(list, line, 1, true) then
    return 'granted'
  end
  if fencing ~= LOCAL and is_claimed then
    local first, last, letter, number, replica = claimed(list, mark)
    if first and letter == 'c' and number == fencing and replica == me then
      list = cut(list, first, last)
    elseif not careless then
      return 'taken'
    end
  end
  -- What is recorded as ended does not go on because its start is heard of late.
  if record(run, job, me, true, json) then
    list = without_run(list, run) .. line
  end
  fires[job], new_fires[job] = list, list
  local owed = job .. string.sub(mark, 11)
  call('HDEL', 'owed', fencing == LOCAL and owed .. ' ' .. me or owed)
  if is_due then
    if not claims[job] then
      know(job)
    end
    if not claims[job] or claims[job] < mark then
      claims[job], new_claims[job] = mark, mark
    end
    if not marks[job] or marks[job] < mark then
      marks[job], new_marks[job] = mark, mark
    end
  end
  return 'granted'
end

for place = 1, count do
  local from = place * 6 + 3
  answers[place] = decide(
    ARGV[from], ARGV[from + 1], ARGV[from + 2] == '1', ARGV[from + 3] == '1', ARGV[from + 4], ARGV[from + 5])
end
put_all('claims', new_claims)
put_all('watermarks', new_marks)
put_all('fires', new_fires)
trim(tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]))
return answers
