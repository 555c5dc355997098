//! Instructions of the hot paths, counted by callgrind: steady where times are not.
//!
//! `benches/instructions.py` runs this and compares it with the figures that are committed. It reads here what one
//! instruction count is divided by: the last two numbers of a line are how often the step is done, and what it does at once.

#![allow(missing_docs, reason = "what the macros make has none")]

mod kit;

use gungraun::{Callgrind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main};
use kit::*;
use tidegate::wire::Kind::{Binary, Plain, Text};
use tidegate::wire::Wire::{Length, Line, WebSocket};

/// The C library chooses by the processor how to copy and compare. So it does as on every x86-64; `rep movsb`, which
/// callgrind counts as an instruction a byte, is among what it would choose.
const PLAIN_COPIES: &str = "glibc.cpu.hwcaps=-AVX2,-AVX_Fast_Unaligned_Load,-ERMS,-FSRM";

main!(
    config = LibraryBenchmarkConfig::default()
        .env("GLIBC_TUNABLES", PLAIN_COPIES)
        .tool(Callgrind::with_args(["--cache-sim=no"])),
    library_benchmark_groups = paths
);

library_benchmark_group!(name = paths, benchmarks = [echo, hub, gateway, wire, json]);

#[inline(always)]
fn repeat(mut step: Step, times: usize) -> Step {
    (0..times).for_each(|_| step());
    step
}

#[library_benchmark]
#[bench::text_64(echoes(WebSocket, Text, 64, 1, 1), 100, 1)]
#[bench::text_64_of_64_connections(echoes(WebSocket, Text, 64, 1, 64), 10, 64)]
#[bench::text_64_sixteen_in_one_read(echoes(WebSocket, Text, 64, 16, 1), 50, 16)]
#[bench::text_16k(echoes(WebSocket, Text, 16 << 10, 1, 1), 100, 1)]
#[bench::binary_64(echoes(WebSocket, Binary, 64, 1, 1), 100, 1)]
#[bench::binary_64_sixteen_in_one_read(echoes(WebSocket, Binary, 64, 16, 1), 50, 16)]
#[bench::binary_16k(echoes(WebSocket, Binary, 16 << 10, 1, 1), 100, 1)]
#[bench::length_64(echoes(Length, Plain, 64, 1, 1), 100, 1)]
#[bench::length_64_sixteen_in_one_read(echoes(Length, Plain, 64, 16, 1), 50, 16)]
#[bench::line_64(echoes(Line, Plain, 64, 1, 1), 100, 1)]
#[bench::line_64_sixteen_in_one_read(echoes(Line, Plain, 64, 16, 1), 50, 16)]
fn echo(step: Step, times: usize, _: usize) -> Step {
    repeat(step, times)
}

#[library_benchmark]
#[bench::publication_to_1(publications(1, 1), 50, 1)]
#[bench::publication_to_100(publications(100, 1), 50, 100)]
#[bench::publication_to_1000(publications(1000, 1), 10, 1000)]
#[bench::sixteen_publications_to_100(publications(100, 16), 10, 1600)]
#[bench::sixteen_publications_to_1000(publications(1000, 16), 4, 16_000)]
#[bench::connect_and_subscribe(newcomers(100), 100, 1)]
#[bench::life_of_a_client(life_in_the_hub(), 100, 1)]
#[bench::recovery_of_sixteen(recoveries(), 50, 1)]
#[bench::heartbeat_of_1000(hub_heartbeats(1000), 4, 1000)]
fn hub(step: Step, times: usize, _: usize) -> Step {
    repeat(step, times)
}

#[library_benchmark]
#[bench::turn_without_events(turns(), 100, 1)]
#[bench::broadcast_to_1000(broadcasts(WebSocket, 1000), 10, 1000)]
#[bench::broadcast_to_1000_lengths(broadcasts(Length, 1000), 10, 1000)]
#[bench::heartbeat_of_1000(heartbeats(1000), 4, 1000)]
#[bench::accept_handshake_close(life_of_a_websocket(), 100, 1)]
#[bench::accept_close(accepted_and_closed(), 100, 1)]
#[bench::timer_of_1000_in_a_tick(ringing(1000), 10, 1000)]
fn gateway(step: Step, times: usize, _: usize) -> Step {
    repeat(step, times)
}

#[library_benchmark]
#[bench::decode_length_64(decoding(Length, 64), 1000, 1)]
#[bench::decode_line_64(decoding(Line, 64), 1000, 1)]
#[bench::decode_line_16k(decoding(Line, 16 << 10), 100, 1)]
#[bench::frames_one_of_64(reading_frames(Text, 64, 1), 1000, 1)]
#[bench::frames_one_of_16k(reading_frames(Text, 16 << 10, 1), 100, 1)]
#[bench::frames_sixteen_of_1k(reading_frames(Text, 16 << 10, 16), 100, 1)]
#[bench::frames_1024_of_1(reading_frames(Binary, 1024, 1024), 10, 1024)]
#[bench::encode_websocket_64(encoding(WebSocket, 64), 1000, 1)]
#[bench::encode_websocket_16k(encoding(WebSocket, 16 << 10), 100, 1)]
#[bench::unmask_64(unmasking(64, 0), 1000, 1)]
#[bench::unmask_16k(unmasking(16 << 10, 0), 100, 1)]
#[bench::unmask_16k_unaligned(unmasking(16 << 10, 6), 100, 1)]
#[bench::unmask_16k_in_pieces(unmasking_pieces(16 << 10, 13), 100, 1)]
#[bench::utf8_ascii_64(checking_text(ascii(64)), 1000, 1)]
#[bench::utf8_ascii_16k(checking_text(ascii(16 << 10)), 100, 1)]
#[bench::utf8_mixed_16k(checking_text(mixed(16 << 10)), 100, 1)]
#[bench::utf8_mixed_16k_in_pieces(checking_pieces(mixed(16 << 10), 1000), 100, 1)]
#[bench::http_head(reading_heads(), 100, 1)]
#[bench::handshake_answer(answering_handshakes(), 100, 1)]
fn wire(step: Step, times: usize, _: usize) -> Step {
    repeat(step, times)
}

#[library_benchmark]
#[bench::read_connect(reading_commands(CONNECT_COMMAND), 200, 1)]
#[bench::read_subscribe(reading_commands(SUBSCRIBE_COMMAND), 200, 1)]
#[bench::read_publish_128(reading_publish_commands(), 200, 1)]
#[bench::read_pong(reading_commands("{}"), 200, 1)]
#[bench::write_push_128(writing_pushes(), 200, 1)]
#[bench::write_reply(writing_replies(), 200, 1)]
fn json(step: Step, times: usize, _: usize) -> Step {
    repeat(step, times)
}
