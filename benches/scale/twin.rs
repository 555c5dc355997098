//! The same walk over connections with no gateway in between: what the bench itself adds to every figure.

use crate::meter::{Tally, cpu};
use crate::plain::{EVENTS, ROUNDS};
use crate::report::tell;
use crate::stub::Stub;
use std::hint::black_box;
use std::io::IoSlice;
use tidegate::gateway::{ConnId, Sockets};
use tidegate::timer::Jitter;

pub fn run(size: usize, batch: usize) {
    let (mut stub, mut jitter) = (Stub::default(), Jitter::new(3));
    let mut ids: Vec<ConnId> = (0..size as u64).map(|slot| ConnId::from_bits((slot + 1) << 24 | slot)).collect();
    ids.iter().for_each(|id| stub.attach(*id, ()).expect("a free slot"));
    for last in (1..ids.len()).rev() {
        ids.swap(last, jitter.below(last as u64 + 1) as usize);
    }
    let (mut tally, message, mut buffer) = (Tally::default(), vec![7; 70], vec![0; 64 << 10]);
    let mut walk = ids.iter().cycle();
    for _ in 0..ROUNDS {
        let mut done = 0;
        while done < EVENTS {
            let began = cpu();
            for id in walk.by_ref().take(batch) {
                stub.prepare(&message);
                let _ = black_box(stub.read(*id, &mut buffer));
                let _ = black_box(stub.write(*id, &[IoSlice::new(&buffer[..70])]));
            }
            done += batch;
            tally.turn(batch, cpu() - began);
        }
        tally.end_round();
    }
    tell("ns", "the bench's own part: one read and one write of 70 bytes", format!("{:.0}", tally.nanos()));
}
