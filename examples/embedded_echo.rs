//! An echo server of one's own, with nothing but the loop: `cargo run --example embedded_echo --no-default-features`.

use tidegate::config::Settings;
use tidegate::gateway::{ConnId, Context, Handler};
use tidegate::net::{EventLoop, ListenOptions};
use tidegate::wire::Message;

struct Echo;

impl Handler for Echo {
    fn on_message(&mut self, cx: &mut Context<'_>, id: ConnId, message: Message<'_>) {
        if let Err(error) = cx.send(id, message) {
            eprintln!("{}: {error}", cx.text(id));
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8000".to_owned());
    let mut gateway = EventLoop::new(Echo, Settings::default())?;
    let url = gateway.listen(&address.parse()?, ListenOptions::default())?;
    println!("listening on {url}");
    Ok(gateway.run()?)
}
