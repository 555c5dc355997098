//! What ends together is let go of in shares, one a turn.

use crate::kit::Rig;
use std::time::Duration;

const CHANNELS: usize = 10_000;
/// Publications that a turn forgets at most.
const SHARE: usize = 2_048;

#[test]
fn histories_that_end_together_are_forgotten_a_share_a_turn() {
    let mut rig = Rig::insecure();
    let id = rig.client();
    for number in 0..CHANNELS {
        rig.say(id, &format!(r#"{{"id":2,"publish":{{"channel":"c{number}","data":1}}}}"#));
    }
    let publications = |rig: &Rig| rig.app().hub().engine().publications();
    assert_eq!(publications(&rig), CHANNELS);
    // At the edge of a tick, where what is armed for the present would ring at once.
    rig.pass(Duration::from_secs(299));
    let mut before = publications(&rig);
    for _ in 0..500 {
        rig.now += Duration::from_millis(10);
        rig.reactor.begin_turn(rig.now);
        rig.reactor.end_turn(rig.now);
        let left = publications(&rig);
        assert!(before - left <= SHARE, "{} in one turn", before - left);
        before = left;
    }
    assert_eq!(before, 0);
}
