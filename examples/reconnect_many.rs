//! A client that is cut again and again: its descriptors before and after.
//! `cargo run --release --example reconnect_many -- 10000`

use std::net::TcpListener;
use std::time::Duration;
use tidegate::client::{ClientOptions, Event};
use tidegate::net::Dialer;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let reconnects: usize = std::env::args().nth(1).map_or(Ok(10_000), |count| count.parse())?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("line://{}", listener.local_addr()?);
    std::thread::Builder::new().spawn(move || listener.incoming().for_each(drop))?;

    let backoff = Duration::from_millis(1);
    let options = ClientOptions { backoff_min: backoff, backoff_max: backoff, ..ClientOptions::default() };
    let mut dialer = Dialer::new(url.parse()?, options)?;
    let before = open_descriptors()?;
    let mut lost = 0;
    while lost < reconnects {
        match dialer.poll(None)? {
            Some(Event::Lost { .. }) => lost += 1,
            Some(Event::AttemptFailed { reason, .. }) => println!("an attempt failed: {reason}"),
            _ => {}
        }
    }
    let after = open_descriptors()?;
    println!("{lost} connections lost; descriptors: {before} before, {after} after");
    // The server's thread may hold the one connection that it is about to drop.
    if after > before + 1 { Err("descriptors are left behind".into()) } else { Ok(()) }
}

fn open_descriptors() -> std::io::Result<usize> {
    Ok(std::fs::read_dir("/proc/self/fd")?.count())
}
