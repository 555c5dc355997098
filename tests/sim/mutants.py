#!/usr/bin/env python3
"""Proves that the simulator bites: breaks the crate in one place at a time and expects some seed to notice.

Each mutant is a file, a text that stands in it exactly once, and what to put in its place. It is applied to a copy of
the tree, the simulator is built there in release and run, and the first seed that breaks a rule is named. Exits with 1
where a mutant survives, and with 2 where a text is no longer there: then the mutant wants to be written anew.

    tests/sim/mutants.py [--seeds 2000] [NAME ...]
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# A mutant that makes the loop turn for ever is caught by the clock.
LONGEST_RUN = 1800

INPUT, MACHINE, DEADLINES = "src/connection/input.rs", "src/connection/machine.rs", "src/connection/deadlines.rs"
CORE, REACTOR, SEND = "src/gateway/core.rs", "src/gateway/reactor.rs", "src/gateway/send.rs"
RECEIVE, TRANSMIT = "src/gateway/receive.rs", "src/gateway/transmit.rs"
FRAMES, COMPRESSION, HTTP = "src/connection/frames.rs", "src/connection/compression.rs", "src/connection/http.rs"
PAGES, WEBSOCKET = "src/gateway/http.rs", "src/connection/websocket.rs"
ENDING, HOLDING = "src/gateway/ending.rs", "src/gateway/holding.rs"
OUTGOING, QUEUE = "src/connection/outgoing.rs", "src/buffer/write_queue.rs"
SHARE, BUNDLES, DIRECT = "src/gateway/share.rs", "src/gateway/bundles.rs", "src/gateway/direct.rs"
EASE, WHOLE = "src/gateway/at_ease.rs", "src/connection/whole.rs"

MUTANTS = [
    # Slips of the kind that hurt most.
    ("last byte of a tail dropped", INPUT,
     "tools.pool.append(&mut self.tail, bytes);\n            *bytes = &mut [];\n            self.on_unfinished(tools.now);",
     "tools.pool.append(&mut self.tail, &bytes[..bytes.len() - 1]);\n            *bytes = &mut [];\n            self.on_unfinished(tools.now);"),
    ("timer not cancelled", CORE, "self.wheel.cancel(key(id));\n        self.return_queue(id);", "self.return_queue(id);"),
    ("slot used again without a new generation", "src/gateway/slots.rs", "        self.last_serial += 1;\n", ""),
    ("budget used up without the unread list", REACTOR,
     "may_hold_more = !drained;", "may_hold_more = !drained && count == 0;"),
    ("messages handled after the end was decided", INPUT,
     "Phase::Flushing { .. } | Phase::Lingering { .. } | Phase::Closed => {\n                *bytes = &mut [];\n"
     "                Input::NeedMore\n            }",
     "Phase::Flushing { .. } | Phase::Lingering { .. } | Phase::Closed => {\n                let all = bytes.len();\n                let whole: &'a [u8] = take_front(bytes, all);\n"
     "                if whole.is_empty() { Input::NeedMore }"
     " else { Input::Message(Payload::InPlace(whole), Kind::Plain) }\n            }"),
    # Ids, slots, tables.
    ("an old id finds the new owner of its slot", "src/gateway/slots.rs",
     "(entry.owner == id).then_some(&mut entry.value)", "Some(&mut entry.value)"),
    ("who leaves still counts against its address", CORE, "self.admission.leave(slot.peer);", "let _ = slot;"),
    ("an end is told twice", ENDING,
     "self.ended.push_back((id, reason));", "self.ended.push_back((id, reason));\n            self.ended.push_back((id, reason));"),
    ("a panic closes nobody", "src/gateway/machine.rs",
     "core.close(id, CloseReason::Local(LocalReason::HandlerPanicked), now);", "let _ = (id, CloseReason::Local(LocalReason::HandlerPanicked));"),
    ("a broadcast comes back to its sender", SHARE, "if Some(id) == except {", "if Some(id) == except && now.as_millis() == 0 {"),
    # Deadlines.
    ("heartbeat late by an interval", DEADLINES,
     "self.last_received + settings.heartbeat_timeout)", "self.last_received + settings.heartbeat_timeout + settings.heartbeat_interval)"),
    ("timer not armed again after it rang", "src/gateway/deadlines.rs",
     "Due::Drop => core.drop_connection(id),\n        }\n        self.core.rearm(id);", "Due::Drop => core.drop_connection(id),\n        }"),
    ("busy peers are probed", DEADLINES, "quiet_since.max(asked) + settings.heartbeat_interval", "asked + settings.heartbeat_interval"),
    ("silence counted from before reading resumed", MACHINE,
     "self.last_received = now;\n        self.last_message = now;", "self.last_message = now;"),
    ("write stall counted from the last message", OUTGOING,
     "if queue.is_empty() {\n            queue.set_stamp(now.as_millis());", "if queue.is_empty() {\n            queue.set_stamp(self.last_message.as_millis());"),
    ("first bytes change no timer", RECEIVE, "                self.core.rearm(id);\n", ""),
    # Reading.
    ("back-pressure never ends", TRANSMIT,
     "let resume_reading = slot.reading == Reading::Held &&", "let resume_reading = slot.reading == Reading::Listed &&"),
    ("an end behind bytes is forgotten", RECEIVE, "slot.reads_to_end |= readiness.closing;", "slot.reads_to_end |= readiness.closing && readiness.writable;"),
    ("buffer of a whole frame not given back", INPUT, "Payload::Reassembled(frame, _) => pool.give(frame),", "Payload::Reassembled(frame, _) => drop(frame),"),
    ("the return before a newline stays", "src/wire/line.rs",
     "let end = if newline > 0 && bytes[newline - 1] == b'\\r' { newline - 1 } else { newline };", "let end = newline;"),
    ("a message at the limit is too large", "src/wire/length.rs", "if body > max {", "if body >= max {"),
    ("a line may be one byte too long", "src/wire/line.rs", "return if could_still_fit(bytes, max)", "return if could_still_fit(bytes, max + 1)"),
    ("PING answered in lower case", "src/connection/heartbeat.rs", 'b"PING" if forms.upper => Some(b"PONG")', 'b"PING" if forms.upper => Some(b"pong")'),
    # Writing.
    ("a byte lost after a partial write", CORE, "self.queue_rest(id, &gathered[sent..], sent > 0, now);", "self.queue_rest(id, &gathered[(sent + 1).min(gathered.len())..], sent > 0, now);"),
    ("gathered past what waits", SEND,
     "if slot.is_empty()\n            && let Some(gathered) = self.gather.room_for(id, len)", "if let Some(gathered) = self.gather.room_for(id, len)"),
    ("gathered bytes forgotten at a shared send", SEND, "            self.queue_rest(id, &gathered, false, now);\n            self.gather.put_back(gathered);\n            self.slots", "            self.gather.put_back(gathered);\n            self.slots"),
    ("ended connection stays after its last byte", TRANSMIT, "if over && !shut_down {", "if over && shut_down && outcome.resume_reading {"),
    ("hard limit twice as high", SEND, "if queued > self.settings.write_queue_hard_bytes {", "if queued > self.settings.write_queue_hard_bytes * 2 {"),
    ("space does not wake the writer", RECEIVE, "let flush = readiness.writable &&", "let flush = readiness.writable && readiness.closing &&"),
    ("a full socket counts as emptied", "src/buffer/write_queue.rs", "self.sent -= len;", "self.sent = 0;"),
    # As it once was: each of these was found by reading or by the simulator, and mended.
    ("bytes sent before a failing write not counted", "src/buffer/write_queue.rs",
     "Err(error) => return (total, Err(error)),", "Err(error) => return (0, Err(error)),"),
    ("silence not looked for when a queue drains unread", TRANSMIT,
     "let heard_again = before > soft && before - sent <= soft;", "let heard_again = false && before > soft;"),
    ("sent to whom the spilling of what was gathered ended", SEND,
     "            self.slots.get(id).filter(|slot| slot.connection.is_live()).ok_or(SendError::Gone)?;\n", ""),
    ("memory kept when nobody is left to wake the loop", "src/gateway/deadlines.rs",
     "if self.trim_at.is_none() && self.core.has_slack() {", "if self.trim_at.is_none() && self.core.has_slack() && self.core.slots.len() > 0 {"),
    ("idle while nobody reads what it says", DEADLINES,
     "settings.idle_timeout.filter(|_| self.wants_bytes(settings))", "settings.idle_timeout"),
    ("an end met in a flush told after its slot is free", REACTOR, "if !self.gateway.deliver_ended(now) {", "if now.as_millis() < u64::MAX {"),
    # The door, the drain.
    ("accepting never goes on", "src/gateway/accept.rs", "self.state = State::Paused { again_at: now + PAUSE };", "self.state = State::Empty;"),
    ("a drain tells everybody at once", "src/gateway/drain.rs", "if passed >= self.window {", "if passed >= Duration::ZERO {"),
    # WebSocket: frames.
    ("mask begins anew with each read", "src/wire/websocket/mask.rs",
     "        self.0 = self.0.rotate_right(8 * u32::try_from(bytes.len() % 4).unwrap_or_default());\n", ""),
    ("limit looked at for each fragment alone", FRAMES, "check_size(header.len, self.data.len(), rules)?;", "check_size(header.len, 0, rules)?;"),
    ("half a character forgotten between fragments", "src/wire/websocket/utf8.rs", "self.carry(unfinished(bytes)?);", "unfinished(bytes)?;"),
    ("half a character at the end of a text", FRAMES, "begun.utf8.finish().map_err(|_| Broken::InvalidText)?;", "let _ = begun.utf8;"),
    ("text judged when it is whole", FRAMES, "begun.utf8.push(chunk).map_err(|_| Broken::InvalidText)?;",
     "if is_last {\n                let all = [&self.data, chunk].concat();\n"
     "                begun.utf8.push(&all).map_err(|_| Broken::InvalidText)?;\n            }"),
    ("continuation accepted behind the end of its message", FRAMES,
     "let kind = kind(header.opcode).ok_or(FrameError::NothingToContinue)?;", "let kind = kind(header.opcode).unwrap_or(Kind::Binary);"),
    ("number of fragments not bounded", FRAMES, "if fragments > rules.max_fragments {", "if fragments > rules.max_fragments && fragments > 1000 {"),
    ("pong loses the last byte of the longest ping", RECEIVE, "self.core.pong(id, payload.bytes(), now);",
     "self.core.pong(id, &payload.bytes()[..payload.bytes().len().min(124)], now);"),
    ("data behind a close is read", RECEIVE, "Input::Refused { reason, answer } => self.core.end(id, reason, &answer, now),",
     "Input::Refused { reason: CloseReason::Peer(PeerReason::Closed), answer } => self.core.send_raw(id, &answer, now),\n"
     "            Input::Refused { reason, answer } => self.core.end(id, reason, &answer, now),"),
    ("a close frame is sent twice", ENDING, "self.end(id, reason, &last_words, now);", "self.send_raw(id, &last_words, now);\n        self.end(id, reason, &last_words, now);"),
    # Pauses and drained queues.
    ("what came behind a pause is lost", RECEIVE, "self.core.keep_rest(id, rest);", "let _ = &rest;"),
    ("what came behind a pause loses a byte", HOLDING, "let from = bytes.len() - left;", "let from = bytes.len() - left.saturating_sub(1).max(1);"),
    ("nobody hears of a drained queue", TRANSMIT, "            drained.push_back(id);\n", "            let _ = &drained;\n"),
    ("a slow peer's frame is cut in its middle", QUEUE, "chunks == 0 && (self.sent > 0 || self.begun)", "chunks == 0 && self.begun"),
    ("a frame's rest is taken for a whole frame", QUEUE, "self.begun = !rest.is_empty();", "self.begun = false;"),
    ("a slow peer keeps its queue", ENDING, "self.queued -= slot.connection.cut_queue(taken, &mut self.pool);", "let _ = (slot, taken);"),
    ("an end without a close frame", ENDING, "Some(Wire::WebSocket) => close_frame(code, words),", "Some(Wire::WebSocket) => Vec::new(),"),
    ("a close is answered with another code", WEBSOCKET, "encode_close(close.map(|close| close.code), \"\")", "encode_close(CloseCode::new(1000), \"\")"),
    ("bad text closed as a broken frame", WEBSOCKET, "Broken::InvalidText => PeerReason::InvalidText,", "Broken::InvalidText => PeerReason::ProtocolError,"),
    ("text comes back as binary", "src/wire/websocket/mod.rs", "Kind::Text => Opcode::Text,", "Kind::Text if message.len() % 7 > 0 => Opcode::Text,\n        Kind::Text => Opcode::Binary,"),
    ("quiet WebSockets are not pinged", DEADLINES, "(settings.heartbeat_probe.is_none() && wire != Wire::WebSocket)", "settings.heartbeat_probe.is_none() && wire != Wire::Raw"),
    ("pings free of charge", RECEIVE, "if self.core.takes_message(id, now) {\n            self.core.counters.heartbeats_answered", "if id.slot() < usize::MAX {\n            self.core.counters.heartbeats_answered"),
    # WebSocket: compression.
    ("little inflates to more than the limit", WEBSOCKET, "tools.compressor.inflate(&mut self.compression, payload.bytes(), max)", "tools.compressor.inflate(&mut self.compression, payload.bytes(), max * 2)"),
    ("a history kept for whom begins anew", COMPRESSION, "if params.client_no_context_takeover {", "if !params.client_no_context_takeover {"),
    ("compressed with a history that nobody agreed to", COMPRESSION, "if params.server_no_context_takeover {\n            self.shared", "if params.client_no_context_takeover {\n            self.shared"),
    ("compressed text not looked at", WEBSOCKET, "Ok(message) if kind == Kind::Text && !is_utf8(&message) => {", "Ok(message) if kind == Kind::Plain && !is_utf8(&message) => {"),
    # Messages handled at ease.
    ("a pause does not end the ease", HOLDING, "        self.gather.end_ease(id);\n", ""),
    ("an end does not end the ease", ENDING, "        self.gather.end_ease(id);\n", ""),
    ("what is queued does not end the ease", SEND, "self.gather.end_ease(id);\n        let before = slot.connection.queued_bytes();\n        queue(",
     "let before = slot.connection.queued_bytes();\n        queue("),
    ("nobody looks whether the ease has ended", EASE, "        if !cx.is_at_ease(id) {\n            break;\n        }\n", ""),
    ("what is left when the ease ends counts as used", EASE, "        rest.is_empty()\n", "        rest.len() < usize::MAX\n"),
    ("at ease although a shared run waits", EASE, "self.connection.easy_wire().filter(|_| self.run.is_none())", "self.connection.easy_wire()"),
    ("heartbeats at ease count as messages of the handler", EASE,
     "let has_handed_on = core.counters.messages_in - core.counters.heartbeats_answered > before;", "let has_handed_on = core.counters.messages_in > before;"),
    ("messages at ease keep nobody from being idle", EASE, "if has_handed_on {\n", "if has_handed_on && is_answered {\n"),
    ("messages at ease not counted", EASE, "                cx.count_message();\n", ""),
    ("heartbeats at ease not counted", "src/gateway/context.rs", "        self.core.counters.heartbeats_answered += 1;\n", ""),
    ("at ease while held", WHOLE, "!self.is_held() && self.rate.is_none()", "self.rate.is_none()"),
    ("at ease in spite of a rate", WHOLE, "!self.is_held() && self.rate.is_none()", "!self.is_held()"),
    ("at ease behind what waits", WHOLE, "self.rate.is_none() && self.queued_bytes() == 0;", "self.rate.is_none();"),
    ("at ease while an answer is awaited", WHOLE, "(is_easy && !is_awaited && !is_within", "(is_easy && !(is_awaited && is_within) && !is_within"),
    ("at ease between the fragments of a message", WHOLE, "!self.tail.is_empty() || self.frames.is_unfinished()", "!self.tail.is_empty()"),
    ("at ease although compression was agreed on", WHOLE, " && !self.compression.is_agreed())", ")"),
    # Messages that lie whole in what was read.
    ("a short frame over the limit", WHOLE, "if len <= SHORT && len <= rest.len() && len <= max {", "if len <= SHORT && len <= rest.len() {"),
    ("a longer frame over the limit", WHOLE, "len > SHORT && len <= rest.len() && len <= max;", "len > SHORT && len <= rest.len();"),
    ("a length that could be shorter", WHOLE, "len > SHORT && len <= rest.len() && len <= max;", "len <= rest.len() && len <= max;"),
    ("a frame whose last byte has not come", WHOLE, "let is_whole = len > SHORT && len <= rest.len() &&", "let is_whole = len > SHORT && len <= rest.len() + 1 &&"),
    ("a fragment taken for a message", WHOLE, "let kind = match first {", "let kind = match first | 0x80 {"),
    ("a whole frame's text not looked at", WHOLE, "!Mask::new(key).apply_whole_text(payload) && !is_utf8(payload)", "!Mask::new(key).apply_whole_text(payload) && payload.is_empty()"),
    ("the mask of bad text not put back", WHOLE, "        Mask::new(key).apply_whole(payload);\n        return None;", "        return None;"),
    ("a line sent back as it came", WHOLE, "(Wire::Line, 1) => Message::framed(whole, (0, 1), Kind::Plain, Wire::Line),", "(Wire::Line, behind) => Message::framed(whole, (0, behind as u8), Kind::Plain, Wire::Line),"),
    ("a longer frame sent back under a wrong length", WHOLE, "&[first, MEDIUM - MASKED, high, low]", "&[first, MEDIUM - MASKED, low, high]"),
    # Runs that many share.
    ("queued before a shared run", SEND, "self.unbundle(id, now);\n        let slot = self.slots.get_mut(id).expect(", "let slot = self.slots.get_mut(id).expect("),
    ("last words before a shared run", SEND, "self.unbundle(id, now);\n        let Some(slot) = self.slots.get_mut(id) else {", "let Some(slot) = self.slots.get_mut(id) else {"),
    ("an end forgets what is shared", ENDING, "        self.unbundle(id, now);\n", ""),
    ("a broadcast shared with who is being served", SHARE, "let added = if gather.is_for(id) { None } else { sharing.share(slot) };", "let added = sharing.share(slot);"),
    ("shared behind a queue", SHARE, "slot.connection.wire().filter(|_| !slot.connection.has_queue())?", "slot.connection.wire()?"),
    ("a shared run longer than may wait", SHARE, "MAX_RUN.min(self.settings.write_queue_soft_bytes.saturating_sub(MAX_OVERHEAD))", "MAX_RUN"),
    ("the rest of a run taken for whole messages", SHARE, "slot.connection.queue_run(rest, sent > 0, now, pool);", "slot.connection.queue_run(rest, false, now, pool);"),
    ("a cut run may be cut again", QUEUE, "self.begun = begun && !rest.is_empty();", "self.begun = false;"),
    ("a run that is sent still counts as queued", TRANSMIT, "                self.core.queued -= len;\n", ""),
    ("a run that is sent is not forgotten", TRANSMIT, "                self.core.bundles.release(run);\n", ""),
    ("a run whose rest is queued is not forgotten", SHARE, "let rest = bundles.bytes(run).slice(sent..);\n        bundles.release(run);", "let rest = bundles.bytes(run).slice(sent..);"),
    ("an interrupted run is not tried again", TRANSMIT, "self.core.on_run_sent(id, 0, now);\n                self.core.mark_dirty(id);", "self.core.on_run_sent(id, 0, now);"),
    ("no time for a run that met no space", TRANSMIT, "        self.core.rearm(id);\n        self.after_flush(id, now)\n    }\n\n    fn after_flush", "        self.after_flush(id, now)\n    }\n\n    fn after_flush"),
    ("what a turn has left is forgotten", HOLDING, "!core.dirty.is_empty() || core.wants_turn ||", "core.wants_turn ||"),
    ("a drained run tells nobody", TRANSMIT, "slot.run.filter(|_| slot.watch == Watch::Off && slot.is_idle())", "slot.run.filter(|_| slot.is_idle())"),
    ("broadcasts not counted", SHARE, "counters.messages_out += receivers as u64;", "counters.messages_out += u64::from(receivers > 0);"),
    ("the last misses every second broadcast", SHARE, "slots.iter_mut().rev().for_each(tell)", "slots.iter_mut().rev().skip(1).for_each(tell)"),
    ("a step taken for another message", BUNDLES, "Some(step) if step.from == from && step.message == Place::of(message) => step.to,", "Some(step) if step.from == from => step.to,"),
    ("a step taken from another run", BUNDLES, "Some(step) if step.from == from && step.message == Place::of(message) => step.to,", "Some(step) if step.message == Place::of(message) => step.to,"),
    ("a run joined from its end", BUNDLES, "messages.iter().rev().for_each(", "messages.iter().for_each("),
    ("the shorter run not let go", BUNDLES, "if let Some(from) = from {\n            self.release(from);\n        }", "let _ = from;"),
    ("a run forgotten that others go on from", BUNDLES, "if run.waiting == 0 && run.longer == 0 {", "if run.waiting == 0 {"),
    ("a shorter run forgotten under who waits for it", BUNDLES, "if run.longer > 0 || run.waiting > 0 {", "if run.longer > 0 {"),
    ("a step to a run that was forgotten", BUNDLES, "            self.last.take_if(|step| step.to == key);\n", ""),
    ("a beginning that was forgotten", BUNDLES, "first.take_if(|first| *first == key);", "let _ = first;"),
    # Large messages written at once.
    ("what was gathered lost when a large message is cut", DIRECT, "self.on_gathered_sent(id, gathered, first, now);", "self.on_gathered_sent(id, &gathered[..first], first, now);"),
    ("a large message that has not begun waits for a slow peer", DIRECT, "        let first = sent.min(gathered.len());\n",
     "        if sent < gathered.len() {\n            return self.on_gathered_sent(id, &[gathered, &frame].concat(), sent, now);\n        }\n"
     "        let first = sent.min(gathered.len());\n"),
    ("a large message before what was gathered", DIRECT, "Some(frame) => [&gathered[..], frame, &[], &[]],", "Some(frame) => [frame, &gathered[..], &[], &[]],"),
    ("a large message without what ends it", DIRECT, "[&gathered[..], &anew.0, &message, anew.1]", "[&gathered[..], &anew.0, &message, &[]]"),
    ("a full socket fails a large message", DIRECT, "ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(0),", "ErrorKind::Interrupted) => Ok(0),"),
    ("the rest of a large message dropped", DIRECT, "Ok(sent) if sent == total =>", "Ok(sent) if sent > 0 =>"),
    ("a large message not counted", DIRECT, "        self.counters.messages_out += 1;\n", ""),
    ("a large message over every limit", DIRECT, "        check_size(&self.settings, message.len())?;\n", ""),
    ("a failed write of a large message ends nothing", DIRECT, "self.close(id, CloseReason::from(error.kind()), now);", "let _ = CloseReason::from(error.kind());"),
    # HTTP.
    ("bytes behind a head dropped", HTTP, "Some(len) if len <= MAX_HEAD => Input::Head(Payload::InPlace(take_front(bytes, len))),",
     "Some(len) if len <= MAX_HEAD => {\n                let all = bytes.len();\n                Input::Head(Payload::InPlace(&take_front(bytes, all)[..len]))\n            }"),
    ("second request of a read lost", RECEIVE, "// A body of no bytes is complete.\n                return Next::Again;", "return Next::Done;"),
    ("each byte of a request gives it more time", HTTP, "if let Phase::Http { expects: Expects::Another, .. } = self.phase {", "if let Phase::Http { .. } = self.phase {"),
    ("HEAD answered with a body", PAGES, "head.method == Method::Head", "head.method == Method::Trace"),
    ("connection stays open although it was to close", PAGES, "if close {\n            self.close(id", "if close && self.drain.is_some() {\n            self.close(id"),
    ("any page may open a WebSocket", PAGES, "if !handshake::origin_allowed(", "if now.as_millis() == 0 && !handshake::origin_allowed("),
    ("WebSockets opened while draining", PAGES, "if self.is_draining() {\n            return self.refuse_with(", "if self.is_draining() && now.as_millis() == 0 {\n            return self.refuse_with("),
    ("pages asked for free of charge", PAGES, "is_some_and(|slot| slot.connection.takes_message(now))", "is_some_and(|slot| slot.connection.takes_message(now) || true)"),
    ("a late request is closed without a word", "src/gateway/deadlines.rs", "core.end(id, reason, &answer, now);", "let _ = answer;\n                core.close(id, reason, now);"),
    # As it once was, found by the simulator.
    ("a long continuation of nothing is only too large", FRAMES,
     "self.message = Some(self.begun(header)?);\n            check_size(header.len, self.data.len(), rules)?;",
     "check_size(header.len, self.data.len(), rules)?;\n            self.message = Some(self.begun(header)?);"),
    ("a refused body keeps the buffer of its head", HTTP, "let head_len = head.bytes().len();",
     "let head_len = head.bytes().len();\n        BodyDecoder::new(body, settings.max_http_body_bytes as u64)?;"),
    ("a body has the time of an idle connection", HTTP, "        self.on_request_begun(now, settings);\n        Ok(())", "        let _ = now;\n        Ok(())"),
    ("nobody tells the timer of a request that has begun", RECEIVE, "if let Phase::Http { .. } = slot.connection.phase() {", "if let Phase::Detecting { .. } = slot.connection.phase() {"),
    ("opened beyond the hard limit", PAGES, "self.core.send_judged(id, &answer, now);", "self.core.send_raw(id, &answer, now);"),
    ("idle between the parts of a message", WEBSOCKET, "if self.frames.is_unfinished() {", "if self.frames.is_unfinished() && matches!(found, Ok(None)) {"),
    # The client.
    ("client sends the rest of a cut message", "src/client/outbox.rs", "let has_begun = std::mem::take(&mut self.sent) > 0;", "let has_begun = self.sent > 0;"),
    ("client comes back at once", "src/client/machine.rs", "attempt_at: now + next_attempt.delay", "attempt_at: now"),
]

HUB = "src/hub/"
HUB_MUTANTS = [
    # Positions, histories, what comes meanwhile.
    ("what was read and what came meanwhile doubled", HUB + "recovery.rs",
     "let newer = meanwhile.iter().filter(|publication| publication.offset > *top);", "let newer = meanwhile.iter();"),
    ("a subscription that was made stays silent", HUB + "beginning.rs",
     "        self.set_standing(id, key, standing);", "        self.set_standing(id, key, Standing::Buffering);"),
    ("a slow reader goes on one too late", HUB + "fan_out.rs",
     "subscriber.standing = Standing::Lagging(offset - 1);", "subscriber.standing = Standing::Lagging(offset);"),
    ("who is ahead hears it again", HUB + "delivery.rs", "Standing::Ahead(at) if offset > at => {", "Standing::Ahead(at) if offset >= at => {"),
    ("a gap does not matter", HUB + "delivery.rs", "Step::Gap => self.lose_positions(cx, key, None),", "Step::Gap => {}"),
    ("an interruption does not matter", HUB + "mod.rs", "Event::Interrupted => self.check_positions(cx),", "Event::Interrupted => {}"),
    ("an old page of a history is taken for a new one", HUB + "channel.rs", "        self.read = None;\n        let step", "        let step"),
    # Publications told in slices.
    ("nobody goes on with the last channel", HUB + "fan_out.rs", "if !self.fan_outs.channels.is_empty() {", "if self.fan_outs.channels.len() > 1 {"),
    ("who has begun anew hears what was under way", HUB + "fan_out.rs", "next.spares_positioned = true;", "next.spares_positioned = false;"),
    ("what was not told yet counts as heard", HUB + "fan_out.rs", "Some(next.map_or(*top, |next| next.offset - 1))", "Some(next.map_or(*top, |_| *top))"),
    # Tables.
    ("who takes another's place is not found there", HUB + "fan_out.rs", "moved(last.id, hole);", "let _ = last;"),
    ("who is moved to a border is not found there", HUB + "fan_out.rs", "moved(self.subscribers[hole].id, hole);", "let _ = self.subscribers[hole].id;"),
    ("a channel is heard of for ever", HUB + "subscribing.rs", "self.tell_engine(cx, Request::Unsubscribe { channel: name });", "let _ = name;"),
    ("who leaves stays present", HUB + "subscribing.rs", "        if subscription.is_member\n", "        if subscription.is_member && announce\n"),
    ("sessions are kept for ever", HUB + "session.rs", "self.ages.front().is_none_or(|(until, _)| *until > now)", "self.ages.front().is_none_or(|_| now.as_millis() > 0)"),
    # Sessions.
    ("a session stays with its old connection as well", HUB + "connecting.rs",
     "let kept = self.depart(cx, old);\n                cx.close(old, CloseReason::Local(LocalReason::Replaced));\n                Some(kept)",
     "let _ = old;\n                Some(Vec::new())"),
    ("a session goes on from what was sent", HUB + "connecting.rs",
     "told.map(|(_, told)| Recover {", "told.filter(|_| position.is_none()).map(|(_, told)| Recover {"),
    # Commands.
    ("commands overtake each other", HUB + "execution.rs", "if client.awaited > 0 {", "if client.awaited > 9 {"),
    ("a key is forgotten on the way to the engine", HUB + "publishing.rs", "idempotency_key: key.map(Into::into) };",
     "idempotency_key: key.filter(|key| key.len() < 3).map(Into::into) };"),
    # As it once was, found by the simulator.
    ("two pings may have one answer", HUB + "mod.rs", "client.awaited_pongs = client.awaited_pongs.saturating_add(1);", "client.awaited_pongs = 1;"),
    ("a subscription ended while it is made is not answered", HUB + "beginning.rs",
     "return self.not_made(cx, id, &wish, ErrorCode::PermissionDenied);", "return;"),
    ("what is too large is dropped without a word", HUB + "waiting.rs", "        if !fits {\n", "        if !fits && id.slot() == usize::MAX {\n"),
]


def main():
    options = read_options()
    mutants = MUTANTS + HUB_MUTANTS
    check_names([name for name, *_ in mutants], options.names)
    check_texts(mutants)
    chosen = [mutant for mutant in mutants if not options.names or mutant[0] in options.names]
    with tempfile.TemporaryDirectory(prefix="tidegate-mutants-") as work:
        tree = Path(work) / "tree"
        copy_tree(tree)
        survivors = [name for name, *change in chosen if not is_caught(tree, name, change, options.seeds)]
    if survivors:
        sys.exit(f"{len(survivors)} of {len(chosen)} survived: {', '.join(survivors)}")
    print(f"all {len(chosen)} caught")


def read_options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=2000)
    parser.add_argument("names", nargs="*", metavar="NAME", help="mutants to try; all if none is named")
    return parser.parse_args()


def copy_tree(tree):
    """Copies all that the project consists of, whatever Cargo.toml names, but not what it builds or downloads."""
    ignored = [line for line in (ROOT / ".gitignore").read_text().splitlines() if line and not line.startswith("#")]
    places, names = [line for line in ignored if line[0] == "/"], [line for line in ignored if line[0] != "/"]

    def is_left_out(folder, entry):
        place = "/" + (Path(folder) / entry).relative_to(ROOT).as_posix()
        return place in places or entry == ".git" or any(fnmatch(entry, name.rstrip("/")) for name in names)

    shutil.copytree(ROOT, tree, symlinks=True,
                    ignore=lambda folder, entries: [entry for entry in entries if is_left_out(folder, entry)])


def check_names(names, wanted):
    """A mutant that is not tried because nobody knows its name would pass for one that was caught."""
    unknown = [name for name in wanted if name not in names]
    if unknown:
        sys.exit(f"no such mutant: {', '.join(unknown)}")
    if len(set(names)) < len(names):
        sys.exit("two mutants have the same name")


def check_texts(mutants):
    """All of them, also where few are to be tried: one that has rotted proves nothing, and shows at once."""
    texts = {file: (ROOT / file).read_text() for file in {file for _, file, *_ in mutants} if (ROOT / file).exists()}
    counts = [(name, file, texts.get(file, "").count(text)) for name, file, text, _ in mutants]
    lost = [f"{name}: in {file} {count} times" for name, file, count in counts if count != 1]
    if lost:
        print("texts that do not stand exactly once:", *lost, sep="\n  ")
        sys.exit(2)


def is_caught(tree, name, change, seeds):
    """Applies one change, runs the simulator, takes the change back."""
    file, text, replacement = change
    path = tree / file
    original = path.read_text()
    path.write_text(original.replace(text, replacement))
    try:
        build(tree, name, file)
        verdict = run(tree, file, seeds)
    finally:
        path.write_text(original)
    print(f"{'caught' if verdict else 'SURVIVED':<9} {name:<46} {verdict or ''}", flush=True)
    return bool(verdict)


def cargo(tree, file, *arguments, **settings):
    # Speed of building counts here more than speed of running; the profile is release all the same.
    fast = {"CARGO_PROFILE_RELEASE_LTO": "off", "CARGO_PROFILE_RELEASE_CODEGEN_UNITS": "16", "CARGO_INCREMENTAL": "1",
            "CARGO_PROFILE_RELEASE_DEBUG": "0",
            "CARGO_TARGET_DIR": os.environ.get("CARGO_TARGET_DIR", str(ROOT / "target" / "mutants")), "RUSTFLAGS": "-Awarnings"}
    features = "deflate,hub" if file.startswith(HUB) else "deflate"
    command = ["cargo", "test", "--release", "--no-default-features", "--features", features, "--test", "sim", *arguments]
    return subprocess.run(command, cwd=tree, env={**os.environ, **fast, **settings}, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LONGEST_RUN)


def build(tree, name, file):
    result = cargo(tree, file, "--no-run", "-j1")
    if result.returncode:
        sys.exit(f"`{name}` does not compile:\n{result.stdout[-3000:]}")


def run(tree, file, seeds):
    """Which seed broke which rule; nothing where all held."""
    test = "hub_seeds_hold_and" if file.startswith(HUB) else "seeds_hold_and"
    try:
        result = cargo(tree, file, test, "--", "--nocapture", TIDEGATE_SIM_SEEDS=str(seeds), TIDEGATE_SIM_SHRINK="0")
    except subprocess.TimeoutExpired:
        return f"hangs ({LONGEST_RUN} s)"
    found = re.search(r"^seed (\d+) broke a rule: (.*)$", result.stdout, re.MULTILINE)
    if found:
        return f"seed {found[1]}, after {int(found[1]) + 1}: {found[2]}"
    return None


if __name__ == "__main__":
    main()
