//! The handler of every simulated gateway: one of the crate's own applications, written down as it goes, and beside it
//! whatever a seed wants handlers to do.

use crate::journal::{Act, Call, Entry, Shared};
use std::time::Duration;
use tidegate::apps::{Broadcast, Echo};
use tidegate::connection::{CloseReason, LocalReason};
use tidegate::gateway::{ConnId, Context, Handler, Reply, Request, SendError, TimerId};
use tidegate::wire::http::{Response, Status, elements};
use tidegate::wire::{Kind, Message, Prepared};

/// What the handler does beside its application.
#[derive(Debug, Clone, Copy, Default)]
pub struct Habits {
    /// Messages that begin with `!` are orders.
    pub obeys: bool,
    /// Sends to each who comes.
    pub greets: bool,
    /// Broadcasts when somebody has left.
    pub farewells: bool,
    /// Panics at one opening in so many.
    pub shy: Option<u64>,
    /// Pauses somebody at one message in so many, for a while, and offers messages.
    pub pauses: Option<u64>,
}

/// Something done through a context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    Send {
        to: ConnId,
        body: Vec<u8>,
        prepared: bool,
    },
    Broadcast {
        except: Option<ConnId>,
        body: Vec<u8>,
    },
    /// The same to everybody, so often in a row that one write does not take it.
    Volley {
        times: usize,
        body: Vec<u8>,
    },
    Close {
        id: ConnId,
        reason: LocalReason,
    },
    Arm {
        wait: u64,
    },
    /// A message for somebody who has not too much waiting.
    Offer {
        to: ConnId,
        body: Vec<u8>,
    },
    /// Asks to be told when somebody's queue has drained.
    Watch {
        id: ConnId,
    },
    Cancel,
    Panic,
}

pub enum App {
    Echo(Echo),
    Broadcast(Broadcast),
}

pub struct Recorder {
    app: App,
    journal: Shared,
    habits: Habits,
    /// Who is open, in the order they came.
    pub open: Vec<ConnId>,
    /// The last who have left.
    pub past: Vec<ConnId>,
    timers: Vec<(TimerId, u64)>,
    /// Who is paused, by the timer that ends it.
    naps: Vec<(u64, ConnId)>,
    heard: u64,
    tokens: u64,
    opened: u64,
    upgrades: u64,
}

const REMEMBERED: usize = 16;

impl Recorder {
    pub fn new(app: App, journal: Shared, habits: Habits) -> Self {
        Self {
            app,
            journal,
            habits,
            open: Vec::new(),
            past: Vec::new(),
            timers: Vec::new(),
            naps: Vec::new(),
            heard: 0,
            tokens: 0,
            opened: 0,
            upgrades: 0,
        }
    }

    /// Handler timers that were armed and have neither rung nor been cancelled.
    pub fn timer_count(&self) -> usize {
        self.timers.len()
    }

    /// Does something from outside a connection, as a closure from another thread would.
    pub fn run(&mut self, cx: &mut Context<'_>, order: Order) {
        self.journal.push(Entry::Enter(Call::Task));
        self.perform(cx, order);
        self.journal.push(Entry::Return);
    }

    fn did(&self, act: Act) {
        self.journal.push(Entry::Did(act));
    }

    fn perform(&mut self, cx: &mut Context<'_>, order: Order) {
        match order {
            Order::Send { to, body, prepared } => self.send(cx, to, &body, prepared),
            Order::Broadcast { except, body } => self.broadcast(cx, except, &body),
            Order::Volley { times, body } => (0..times).for_each(|_| self.broadcast(cx, None, &body)),
            Order::Close { id, reason } => {
                let reason = CloseReason::Local(reason);
                let live = cx.connection(id).is_some();
                self.did(Act::Close { id, reason, live });
                cx.close(id, reason);
            }
            Order::Arm { wait } => self.arm(cx, wait),
            Order::Offer { to, body } => self.offer(cx, to, &body),
            Order::Watch { id } => {
                self.did(Act::Watch { id, live: cx.connection(id).is_some() });
                cx.watch_drain(id);
            }
            Order::Cancel => self.cancel(cx),
            Order::Panic => {
                self.did(Act::Panic);
                panic!("{}", HANDLER_PANIC);
            }
        }
    }

    fn send(&mut self, cx: &mut Context<'_>, to: ConnId, body: &[u8], prepared: bool) {
        let message = as_some_kind(body);
        // What is large may be written before the call returns.
        let mark = self.journal.mark();
        let result = match prepared {
            true if body.len().is_multiple_of(2) => cx.send_prepared(to, &Prepared::from(message)),
            true => cx.send_prepared(to, &prepare(message)),
            false => cx.send(to, message),
        };
        let (body, kind) = (self.journal.keep(body), message.kind());
        self.journal.insert(mark, Entry::Did(Act::Send { to, body, kind, result }));
    }

    fn broadcast(&mut self, cx: &mut Context<'_>, except: Option<ConnId>, body: &[u8]) {
        let receivers = self.receivers(cx, except);
        let kind = as_some_kind(body).kind();
        let message = prepare(as_some_kind(body));
        let took = match except {
            Some(except) => cx.broadcast_except(except, &message),
            None => cx.broadcast(&message),
        };
        let body = self.journal.keep(body);
        self.did(Act::Broadcast { except, body, kind, receivers, took: Some(took) });
    }

    fn offer(&mut self, cx: &mut Context<'_>, to: ConnId, body: &[u8]) {
        let message = as_some_kind(body);
        let waiting = cx.queued_bytes(to);
        let result = cx.offer(to, &prepare(message));
        let (body, kind) = (self.journal.keep(body), message.kind());
        self.did(Act::Offer { to, body, kind, waiting, result });
    }

    /// Somebody may have to wait, and somebody is offered something.
    fn doze(&mut self, cx: &mut Context<'_>, id: ConnId) {
        self.heard += 1;
        let Some(one_in) = self.habits.pauses else {
            return;
        };
        let other = self.open[self.heard as usize % self.open.len()];
        if self.heard.is_multiple_of(one_in) {
            self.nap(cx, if self.heard.is_multiple_of(5) { other } else { id });
        }
        if self.heard.is_multiple_of(one_in + 1) {
            self.offer(cx, other, &vec![b'o'; self.heard as usize % 700]);
        }
    }

    fn nap(&mut self, cx: &mut Context<'_>, id: ConnId) {
        self.did(Act::Pause { id, live: cx.connection(id).is_some() });
        cx.pause(id);
        if self.heard.is_multiple_of(3) {
            return self.wake(cx, id);
        }
        self.arm(cx, self.heard % 50);
        self.naps.push((self.tokens, id));
    }

    fn wake(&mut self, cx: &mut Context<'_>, id: ConnId) {
        self.did(Act::Resume { id });
        cx.resume(id);
    }

    fn receivers(&self, cx: &Context<'_>, except: Option<ConnId>) -> Vec<ConnId> {
        let others = self.open.iter().copied().filter(|id| Some(*id) != except);
        others.filter(|id| cx.connection(*id).is_some()).collect()
    }

    fn arm(&mut self, cx: &mut Context<'_>, wait: u64) {
        self.tokens += 1;
        let timer = cx.arm_timer(Duration::from_millis(wait), self.tokens);
        self.timers.push((timer, self.tokens));
        self.did(Act::Arm { token: self.tokens, deadline: cx.now() + Duration::from_millis(wait) });
    }

    fn cancel(&mut self, cx: &mut Context<'_>) {
        if self.timers.last().is_some_and(|(_, token)| self.naps.iter().any(|(other, _)| other == token)) {
            return;
        }
        if let Some((timer, token)) = self.timers.pop() {
            let found = cx.cancel_timer(timer);
            self.did(Act::Cancel { token, found });
            assert!(!cx.cancel_timer(timer), "a timer is cancelled once");
        }
    }

    /// The application gets the message, and what it will do with it is written down.
    fn apply(&mut self, cx: &mut Context<'_>, id: ConnId, message: Message<'_>) {
        let (body, kind) = (self.journal.keep(&message), message.kind());
        match &mut self.app {
            App::Echo(echo) => {
                let waiting = |cx: &Context<'_>| cx.connection(id).map(|info| info.queued_bytes);
                let (before, mark) = (waiting(cx), self.journal.mark());
                echo.on_message(cx, id, message);
                // The echo keeps quiet about a message that no queue may hold; only what waits can tell.
                let is_large = message.len() + 16 > cx.settings().write_queue_hard_bytes;
                let refused = is_large && before == waiting(cx);
                let result = if refused { Err(SendError::TooLarge) } else { Ok(()) };
                self.journal.insert(mark, Entry::Did(Act::Send { to: id, body, kind, result }));
            }
            App::Broadcast(broadcast) => {
                let others = self.open.iter().copied().filter(|other| *other != id);
                let receivers = others.filter(|id| cx.connection(*id).is_some()).collect();
                let act = Act::Broadcast { except: Some(id), body, kind, receivers, took: None };
                self.journal.push(Entry::Did(act));
                broadcast.on_message(cx, id, message);
            }
        }
    }

    /// An order in a message: the letter says what, the byte after it with whom.
    fn obey(&mut self, cx: &mut Context<'_>, id: ConnId, message: Message<'_>) {
        let (letter, choice) = (message.get(1).copied().unwrap_or(0), message.get(2).copied().unwrap_or(0));
        let other = self.open[usize::from(choice) % self.open.len()];
        let body = message.to_vec();
        match letter {
            b'c' => self.perform(cx, Order::Close { id, reason: LocalReason::Normal }),
            b'u' => self.perform(cx, Order::Close { id, reason: LocalReason::Unauthorised }),
            b'k' => self.perform(cx, Order::Close { id: other, reason: LocalReason::Kicked }),
            b'p' => self.perform(cx, Order::Panic),
            b't' => self.arm(cx, u64::from(choice) * 7),
            b'x' => self.cancel(cx),
            b'o' => self.perform(cx, Order::Send { to: other, body, prepared: false }),
            b'm' if choice >= 160 => self.send_large(cx, id, choice),
            b'm' => self.send_many(cx, id, other, &body),
            b'b' => self.perform(cx, Order::Broadcast { except: None, body }),
            _ => self.apply(cx, id, message),
        }
    }

    /// Messages of its own to whoever asks, larger than what is gathered, behind one that is gathered.
    fn send_large(&mut self, cx: &mut Context<'_>, id: ConnId, choice: u8) {
        let room = cx.settings().write_queue_hard_bytes;
        let body = vec![b'L'; if choice >= 230 { room - 15 } else { (8 << 10) + 97 * usize::from(choice) }];
        self.send(cx, id, b"large ones follow", false);
        self.send(cx, id, &body, false);
        self.send(cx, id, &body[1..], false);
    }

    /// Gathered, shared, gathered again, to oneself and to another: everything must stay in order.
    fn send_many(&mut self, cx: &mut Context<'_>, id: ConnId, other: ConnId, body: &[u8]) {
        for prepared in [false, false, true, false, true] {
            self.send(cx, id, body, prepared);
            self.send(cx, other, body, !prepared);
        }
    }
}

/// Bytes without a kind, as text or as binary: their length decides.
fn as_some_kind(body: &[u8]) -> Message<'_> {
    match (body.len() % 3, std::str::from_utf8(body)) {
        (1, Ok(text)) => Message::text(text),
        (2, _) => Message::binary(body),
        _ => Message::from(body),
    }
}

/// As [`Prepared::from`], by the other way to each kind.
fn prepare(message: Message<'_>) -> Prepared {
    let body = message.to_vec();
    match (message.kind(), String::from_utf8(body.clone())) {
        (Kind::Text, Ok(text)) => Prepared::text(text),
        (Kind::Binary, _) => Prepared::binary(body),
        _ => Prepared::new(body),
    }
}

/// What a handler's panic says, so that one of ours is told from a slip of the crate's.
pub const HANDLER_PANIC: &str = "the simulated handler panics";

impl Handler for Recorder {
    fn on_opened(&mut self, cx: &mut Context<'_>, id: ConnId) {
        self.journal.push(Entry::Enter(Call::Opened(id)));
        self.open.push(id);
        self.opened += 1;
        assert_eq!(cx.find(&cx.text(id).to_string()), Some(id), "an open connection is found by its text");
        if self.habits.greets {
            self.send(cx, id, b"hello", self.opened.is_multiple_of(2));
        }
        if self.habits.shy.is_some_and(|one_in| self.opened.is_multiple_of(one_in)) {
            self.perform(cx, Order::Panic);
        }
        self.journal.push(Entry::Return);
    }

    fn on_message(&mut self, cx: &mut Context<'_>, id: ConnId, message: Message<'_>) {
        let body = self.journal.keep(&message);
        self.journal.push(Entry::Enter(Call::Message(id, body, message.kind())));
        if self.habits.obeys && message.first() == Some(&b'!') && message.len() > 1 {
            self.obey(cx, id, message);
        } else {
            self.apply(cx, id, message);
        }
        self.doze(cx, id);
        self.journal.push(Entry::Return);
    }

    fn on_upgrade(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        request: &Request<'_>,
    ) -> Result<Option<&'static str>, Status> {
        let path = self.journal.keep(request.head.path.as_bytes());
        self.journal.push(Entry::Enter(Call::Upgrade(id, path)));
        assert_eq!(cx.connection(id), None, "nothing can be sent before the upgrade");
        self.upgrades += 1;
        if self.habits.shy.is_some_and(|one_in| self.upgrades.is_multiple_of(one_in + 3)) {
            self.perform(cx, Order::Panic);
        }
        let offers = request.head.fields("sec-websocket-protocol").flat_map(elements).any(|name| name == b"chat");
        let welcome =
            if request.head.path == "/forbidden" { Err(Status::Forbidden) } else { Ok(offers.then_some("chat")) };
        self.did(Act::Welcome(welcome));
        self.journal.push(Entry::Return);
        welcome
    }

    fn on_request(&mut self, cx: &mut Context<'_>, id: ConnId, request: &Request<'_>) -> Reply {
        let (path, body) = (self.journal.keep(request.head.path.as_bytes()), self.journal.keep(request.body));
        self.journal.push(Entry::Enter(Call::Request(id, path, body)));
        assert_eq!(cx.connection(id), None, "nothing can be sent but the answer");
        let response = match (request.head.path, &mut self.app) {
            ("/panic", _) if self.habits.obeys => {
                self.did(Act::Panic);
                panic!("{}", HANDLER_PANIC);
            }
            ("/big", _) => Response::text(Status::Ok, vec![b'B'; 3000]),
            (_, App::Echo(echo)) => at_once(echo.on_request(cx, id, request)),
            (_, App::Broadcast(broadcast)) => at_once(broadcast.on_request(cx, id, request)),
        };
        self.did(Act::Answer(Box::new(response.clone())));
        self.journal.push(Entry::Return);
        response.into()
    }

    fn on_closed(&mut self, cx: &mut Context<'_>, id: ConnId, reason: CloseReason) {
        self.journal.push(Entry::Enter(Call::Ended(id, reason)));
        self.open.retain(|open| *open != id);
        self.past.push(id);
        if self.past.len() > REMEMBERED {
            self.past.remove(0);
        }
        assert_eq!(cx.connection(id), None, "a closed connection is not known any more");
        assert_eq!(cx.find(&cx.text(id).to_string()), None, "nor is it found by its text");
        if self.habits.farewells {
            self.broadcast(cx, None, b"somebody has left");
        }
        self.journal.push(Entry::Return);
    }

    fn on_drained(&mut self, cx: &mut Context<'_>, id: ConnId) {
        self.journal.push(Entry::Enter(Call::Drained(id)));
        if id.slot().is_multiple_of(2) {
            self.offer(cx, id, b"what you have missed");
        }
        self.journal.push(Entry::Return);
    }

    fn on_timer(&mut self, cx: &mut Context<'_>, token: u64) {
        self.journal.push(Entry::Enter(Call::Timer(token)));
        self.timers.retain(|(_, other)| *other != token);
        if let Some(at) = self.naps.iter().position(|(other, _)| *other == token) {
            let (_, id) = self.naps.remove(at);
            self.wake(cx, id);
        }
        if token.is_multiple_of(3) {
            self.broadcast(cx, None, b"the timer rang");
        }
        if token.is_multiple_of(5)
            && let Some(past) = self.past.last().copied()
        {
            self.send(cx, past, b"to somebody who has left", token.is_multiple_of(2));
        }
        self.journal.push(Entry::Return);
    }
}

/// The applications answer every request at once.
fn at_once(reply: Reply) -> Response {
    match reply {
        Reply::Now(response) => response,
        Reply::Later => panic!("an application answered nothing"),
    }
}
