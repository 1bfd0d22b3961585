-- Wireshark: messages of the xenstore protocol, as captured by `xenstored --pcap FILE` (link type USER0).
-- Use: wireshark -X lua_script:xenstore.lua FILE   or copy it to Wireshark's folder of personal Lua plugins.
-- Follows xen/include/public/io/xs_wire.h; the 12 bytes in front of each message are described in pcap.ts.

local xenstore = Proto("xenstore", "XenStore")

local types = {
  [0] = "CONTROL", [1] = "DIRECTORY", [2] = "READ", [3] = "GET_PERMS", [4] = "WATCH", [5] = "UNWATCH",
  [6] = "TRANSACTION_START", [7] = "TRANSACTION_END", [8] = "INTRODUCE", [9] = "RELEASE",
  [10] = "GET_DOMAIN_PATH", [11] = "WRITE", [12] = "MKDIR", [13] = "RM", [14] = "SET_PERMS",
  [15] = "WATCH_EVENT", [16] = "ERROR", [17] = "IS_DOMAIN_INTRODUCED", [18] = "RESUME", [19] = "SET_TARGET",
  [20] = "RESTRICT", [21] = "RESET_WATCHES", [22] = "DIRECTORY_PART", [23] = "GET_FEATURE",
  [24] = "SET_FEATURE", [25] = "GET_QUOTA", [26] = "SET_QUOTA",
}

-- Requests whose payload begins with a path.
local with_path = {
  [1] = true, [2] = true, [3] = true, [4] = true, [5] = true, [11] = true, [12] = true, [13] = true,
  [14] = true, [22] = true,
}

local WATCH_EVENT, ERROR = 15, 16
local PSEUDO, HEADER = 12, 16

local f = xenstore.fields
f.direction = ProtoField.uint8("xenstore.direction", "Direction", base.DEC, { [0] = "to the daemon", [1] = "from the daemon" })
f.transport = ProtoField.uint8("xenstore.transport", "Transport", base.DEC, { [0] = "socket", [1] = "ring" })
f.domid = ProtoField.uint16("xenstore.domid", "Domain", base.DEC)
f.link = ProtoField.uint32("xenstore.link", "Connection", base.DEC)
f.type = ProtoField.uint32("xenstore.type", "Type", base.DEC, types)
f.req_id = ProtoField.uint32("xenstore.req_id", "Request id", base.DEC)
f.tx_id = ProtoField.uint32("xenstore.tx_id", "Transaction id", base.DEC)
f.len = ProtoField.uint32("xenstore.len", "Payload length", base.DEC)
f.payload = ProtoField.bytes("xenstore.payload", "Payload")
f.path = ProtoField.string("xenstore.path", "Path")
f.token = ProtoField.string("xenstore.token", "Token")
f.value = ProtoField.string("xenstore.value", "Value")
f.error = ProtoField.string("xenstore.error", "Error")
f.text = ProtoField.string("xenstore.text", "Text")
f.request = ProtoField.framenum("xenstore.request", "Request in", base.NONE, frametype.REQUEST)
f.answer = ProtoField.framenum("xenstore.answer", "Answer in", base.NONE, frametype.RESPONSE)
f.time = ProtoField.relative_time("xenstore.time", "Time to the answer")

local malformed = ProtoExpert.new("xenstore.malformed", "Malformed message", expert.group.MALFORMED, expert.severity.ERROR)
xenstore.experts = { malformed }

-- The end of the piece that starts at `from`: the position of the next NUL, or of the payload's end.
local function piece_end(payload, from)
  for at = from, payload:len() - 1 do
    if payload(at, 1):uint() == 0 then return at end
  end
  return payload:len()
end

local function add_piece(tree, field, payload, from)
  local stop = piece_end(payload, from)
  if stop > from then
    tree:add(field, payload(from, stop - from))
  else
    tree:add(field, "")
  end
  return stop + 1
end

-- Bytes as they may be shown in the list of packets.
local function shown(payload)
  local text = {}
  for at = 0, math.min(payload:len(), 200) - 1 do
    local byte = payload(at, 1):uint()
    if byte == 0 then
      text[#text + 1] = " "
    elseif byte >= 0x20 and byte < 0x7f then
      text[#text + 1] = string.char(byte)
    else
      text[#text + 1] = string.format("\\x%02x", byte)
    end
  end
  return table.concat(text)
end

-- Requests without an answer, by link and by id, in order: answers come in the order of requests. Filled while frames are seen first.
local open, pairs_of = {}, {}

function xenstore.init()
  open, pairs_of = {}, {}
end

local function relate(pinfo, direction, link, kind)
  if pinfo.visited then return end
  local waiting = open[link] or { first = 1 }
  open[link] = waiting
  local this = { number = pinfo.number, time = pinfo.abs_ts }
  if direction == 0 then
    waiting[#waiting + 1] = this
  elseif kind ~= WATCH_EVENT and waiting[waiting.first] then
    local request = waiting[waiting.first]
    waiting.first = waiting.first + 1
    pairs_of[request.number] = { answer = this.number }
    local seconds = math.max(0, this.time - request.time)
    local whole = math.floor(seconds)
    local time = NSTime.new(whole, math.floor((seconds - whole) * 1e9))
    pairs_of[this.number] = { request = request.number, time = time }
  end
end

local function dissect_payload(tree, payload, direction, kind)
  if payload:len() == 0 then return end
  if kind == ERROR then
    add_piece(tree, f.error, payload, 0)
  elseif kind == WATCH_EVENT or (direction == 0 and (kind == 4 or kind == 5)) then
    local next = add_piece(tree, f.path, payload, 0)
    if next < payload:len() then add_piece(tree, f.token, payload, next) end
  elseif direction == 0 and with_path[kind] then
    local next = add_piece(tree, f.path, payload, 0)
    if kind == 11 and next < payload:len() then tree:add(f.value, payload(next)) end
  elseif direction == 1 and kind == 2 then
    tree:add(f.value, payload)
  else
    local at = 0
    while at < payload:len() do at = add_piece(tree, f.text, payload, at) end
  end
end

function xenstore.dissector(buffer, pinfo, root)
  pinfo.cols.protocol = "XenStore"
  local tree = root:add(xenstore, buffer())
  if buffer:len() < PSEUDO + HEADER then
    tree:add_proto_expert_info(malformed, "Shorter than a header")
    return
  end
  local direction, domid, link = buffer(1, 1):uint(), buffer(4, 2):le_uint(), buffer(8, 4):le_uint()
  local header = buffer(PSEUDO, HEADER)
  local kind, length = header(0, 4):le_uint(), header(12, 4):le_uint()
  local name = types[kind] or ("type " .. kind)

  tree:add(f.direction, buffer(1, 1))
  tree:add(f.transport, buffer(2, 1))
  tree:add_le(f.domid, buffer(4, 2))
  tree:add_le(f.link, buffer(8, 4))
  tree:add_le(f.type, header(0, 4))
  tree:add_le(f.req_id, header(4, 4))
  tree:add_le(f.tx_id, header(8, 4))
  tree:add_le(f.len, header(12, 4))

  local peer = string.format("d%d #%d", domid, link)
  pinfo.cols.src = direction == 0 and peer or "xenstored"
  pinfo.cols.dst = direction == 0 and "xenstored" or peer

  relate(pinfo, direction, link, kind)
  local related = pairs_of[pinfo.number]
  if related and related.answer then tree:add(f.answer, related.answer):set_generated() end
  if related and related.request then
    tree:add(f.request, related.request):set_generated()
    tree:add(f.time, related.time):set_generated()
  end

  local summary = ""
  if buffer:len() > PSEUDO + HEADER then
    local payload = buffer(PSEUDO + HEADER):tvb()
    tree:add(f.payload, payload())
    dissect_payload(tree, payload, direction, kind)
    summary = shown(payload)
  end
  if buffer:len() - PSEUDO - HEADER ~= length then
    tree:add_proto_expert_info(malformed, "The length does not fit the message")
  end
  local transaction = header(8, 4):le_uint()
  local inside = transaction ~= 0 and string.format(" [%d]", transaction) or ""
  pinfo.cols.info = string.format("%s %s%s %s", direction == 0 and ">" or "<", name, inside, summary)
end

DissectorTable.get("wtap_encap"):add(wtap.USER0, xenstore)
