//! State × flags × position of the segment × acknowledgement: the reply that RFC 9293, 3.10.7, with
//! the changes of RFC 5961, prescribes for each.

use net::Error;
use net::sim::packet::{ACK, FIN, PSH, RST, SYN, Tcp, URG};

use crate::support::{FAMILIES, Family, MS, SECOND, Talk};

/// Longer than the standards' 500 ms, shorter than the first retransmission after a second; a
/// retransmission of the FIN by a tail loss probe is filtered out.
const PATIENCE: u64 = 150 * MS;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Listen,
    SynSent,
    SynReceived,
    Established,
    FinWait1,
    FinWait2,
    CloseWait,
    Closing,
    LastAck,
    TimeWait,
}

/// Position of a segment's first number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// At RCV.NXT.
    Next,
    /// In the window, after a gap.
    Inside,
    /// Left of the window.
    Left,
    /// Right of it.
    Right,
}

/// Position of a segment's acknowledgement number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Acked {
    /// All sent data: SND.NXT.
    All,
    /// Data acknowledged long ago, but within the largest window: a duplicate.
    Old,
    /// Beyond SND.NXT.
    Future,
    /// Data older than any window (RFC 5961, 5.2).
    Ancient,
}

const PLACES: [Place; 4] = [Place::Next, Place::Inside, Place::Left, Place::Right];
const ACKS: [Acked; 4] = [Acked::All, Acked::Old, Acked::Future, Acked::Ancient];
const FLAGS: [u8; 12] = [
    0,
    SYN,
    ACK,
    RST,
    FIN,
    SYN | ACK,
    RST | ACK,
    FIN | ACK,
    PSH | ACK,
    SYN | RST,
    FIN | PSH | URG,
    FIN | SYN | RST | PSH | ACK | URG,
];

/// A permitted reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Nothing,
    /// <SEQ=SND.NXT><ACK=n><CTL=ACK>.
    Ack(u32),
    /// A SYN with the acknowledgement of n.
    SynAck(u32),
    /// <SEQ=n><CTL=RST>.
    Reset(u32),
    /// <SEQ=0><ACK=n><CTL=RST,ACK>.
    ResetAck(u32),
}

/// Permitted replies, and the error of the connection afterwards.
struct Expected {
    answers: Vec<Answer>,
    error: Option<Error>,
}

impl From<Vec<Answer>> for Expected {
    fn from(answers: Vec<Answer>) -> Expected {
        Expected {
            answers,
            error: None,
        }
    }
}

fn silence() -> Expected {
    vec![Answer::Nothing].into()
}

/// Brings a stack into a state.
fn reach(state: State, family: Family) -> Talk {
    match state {
        State::Closed => {
            let mut talk = Talk::new(family);
            (talk.ack, talk.una) = (7_000_000, 7_000_000);
            talk.window = 60_000;
            talk
        }
        State::Listen => {
            let mut talk = Talk::new(family).listening();
            (talk.ack, talk.una) = (7_000_000, 7_000_000);
            talk.window = 60_000;
            talk
        }
        State::SynSent => {
            let (mut talk, syn) = Talk::connecting(family);
            talk.una = syn.seq;
            talk.window = 60_000;
            talk
        }
        State::SynReceived => {
            let mut talk = Talk::new(family).listening();
            let syn = talk.syn().mss(1440);
            talk.send(&syn);
            talk.expect(SECOND, |segment| segment.has(SYN | ACK));
            talk.seq = syn.end();
            talk
        }
        State::Established => {
            let mut talk = Talk::accepted(family);
            // Numbers before SND.UNA have to be real ones.
            exchange(&mut talk);
            talk
        }
        State::FinWait1 => {
            let mut talk = Talk::accepted(family);
            exchange(&mut talk);
            shut(&mut talk);
            talk
        }
        State::FinWait2 => {
            let mut talk = reach(State::FinWait1, family);
            talk.acknowledge();
            talk
        }
        State::CloseWait => {
            let mut talk = reach(State::Established, family);
            talk.fin();
            talk.listen(PATIENCE);
            talk
        }
        State::Closing => {
            let mut talk = reach(State::FinWait1, family);
            // It doesn't acknowledge the stack's FIN.
            let fin = talk.segment().flags(FIN).ack(talk.una);
            talk.send(&fin);
            talk.seq = fin.end();
            talk.listen(PATIENCE);
            talk
        }
        State::LastAck => {
            let mut talk = reach(State::CloseWait, family);
            shut(&mut talk);
            talk
        }
        State::TimeWait => {
            let mut talk = reach(State::FinWait2, family);
            talk.fin();
            talk.listen(PATIENCE);
            talk
        }
    }
}

fn exchange(talk: &mut Talk) {
    let handle = talk.handle();
    let sent = talk.stack().tcp_write(handle, &[7; 500]).expect("room");
    assert_eq!(sent, 500);
    talk.expect(SECOND, |segment| segment.payload.len() == 500);
    talk.data(&[8; 300]);
    talk.listen(PATIENCE);
    assert_eq!(talk.read().0.len(), 300);
    talk.listen(PATIENCE);
}

fn shut(talk: &mut Talk) {
    let handle = talk.handle();
    talk.stack()
        .tcp_shutdown(handle)
        .expect("an open connection");
    talk.expect(SECOND, |segment| segment.has(FIN));
}

/// Returns the reaction that RFC 9293, 3.10.7 prescribes.
fn prescribed(state: State, talk: &Talk, segment: &Tcp, place: Place, acked: Acked) -> Expected {
    match state {
        State::Closed => closed(segment),
        State::Listen => listen(talk, segment),
        State::SynSent => syn_sent(talk, segment, acked),
        _ => synchronized(state, talk, segment, place, acked),
    }
}

/// 3.10.7.1.
fn closed(segment: &Tcp) -> Expected {
    if segment.has(RST) {
        silence()
    } else if segment.has(ACK) {
        vec![Answer::Reset(segment.ack)].into()
    } else {
        vec![Answer::ResetAck(segment.end())].into()
    }
}

/// 3.10.7.2.
fn listen(_talk: &Talk, segment: &Tcp) -> Expected {
    if segment.has(RST) {
        silence()
    } else if segment.has(ACK) {
        vec![Answer::Reset(segment.ack)].into()
    } else if segment.has(SYN) {
        vec![Answer::SynAck(segment.seq.wrapping_add(1))].into()
    } else {
        silence()
    }
}

/// 3.10.7.3.
fn syn_sent(talk: &Talk, segment: &Tcp, acked: Acked) -> Expected {
    let acceptable = acked == Acked::All;
    if segment.has(ACK) && !acceptable {
        return if segment.has(RST) {
            silence()
        } else {
            vec![Answer::Reset(segment.ack)].into()
        };
    }
    if segment.has(RST) {
        return Expected {
            answers: vec![Answer::Nothing],
            error: segment.has(ACK).then_some(Error::ConnectionRefused),
        };
    }
    let after = segment.seq.wrapping_add(1);
    match (segment.has(SYN), segment.has(ACK)) {
        (true, true) => vec![Answer::Ack(after)].into(),
        (true, false) => {
            assert_eq!(talk.una.wrapping_add(1), talk.ack);
            vec![Answer::SynAck(after)].into()
        }
        (false, _) => silence(),
    }
}

/// 3.10.7.4, for the states in which both have sent a SYN.
fn synchronized(state: State, talk: &Talk, segment: &Tcp, place: Place, acked: Acked) -> Expected {
    let challenge = Answer::Ack(talk.seq);
    let embryo = state == State::SynReceived;
    let (waiting, gone) = (
        state == State::TimeWait,
        matches!(
            state,
            State::CloseWait | State::Closing | State::LastAck | State::TimeWait
        ),
    );
    // First, the sequence number.
    if matches!(place, Place::Left | Place::Right) {
        if segment.has(RST) {
            return silence();
        }
        if waiting && segment.flags & (SYN | ACK | FIN) == SYN && place == Place::Right {
            // RFC 1122, 4.2.2.13: it may open a new connection.
            return vec![challenge, Answer::SynAck(segment.seq.wrapping_add(1))].into();
        }
        if embryo {
            // The SYN-ACK itself may acknowledge the SYN.
            return vec![challenge, Answer::SynAck(talk.seq)].into();
        }
        return vec![challenge].into();
    }
    // Second, the RST (RFC 5961, 3.2).
    if segment.has(RST) {
        if waiting {
            // RFC 1337 advises to ignore it.
            return vec![Answer::Nothing, challenge].into();
        }
        if place == Place::Next {
            let error = Some(Error::ConnectionReset);
            return Expected {
                answers: vec![Answer::Nothing],
                error: error.filter(|_| !embryo),
            };
        }
        return match embryo {
            true => vec![challenge, Answer::SynAck(talk.seq)].into(),
            false => vec![challenge].into(),
        };
    }
    // Fourth, the SYN (RFC 5961, 4.2).
    if segment.has(SYN) {
        if waiting && segment.flags & (ACK | FIN) == 0 {
            return vec![challenge, Answer::SynAck(segment.seq.wrapping_add(1))].into();
        }
        if embryo {
            // A passive open returns to LISTEN; most send a challenge.
            return vec![Answer::Nothing, challenge, Answer::SynAck(talk.seq)].into();
        }
        return vec![challenge].into();
    }
    // Fifth, the ACK (RFC 5961, 5.2).
    if !segment.has(ACK) {
        return silence();
    }
    if embryo && acked != Acked::All {
        return vec![Answer::Reset(segment.ack)].into();
    }
    if matches!(acked, Acked::Future | Acked::Ancient) {
        return match waiting {
            true => vec![Answer::Nothing, challenge].into(),
            false => vec![challenge].into(),
        };
    }
    // Eighth, the FIN.
    if segment.has(FIN) {
        let after = talk.seq.wrapping_add(1);
        return match (place, gone) {
            // Nothing can follow a FIN: any of these is allowed.
            (_, true) => vec![Answer::Nothing, challenge, Answer::Ack(after)].into(),
            (Place::Next, false) => vec![Answer::Ack(after)].into(),
            // RFC 5681, 4.2: out of order.
            _ => vec![challenge].into(),
        };
    }
    if waiting && place == Place::Inside {
        // The peer has acknowledged more than it ever sent.
        return vec![challenge].into();
    }
    silence()
}

fn found(talk: &Talk, segments: &[Tcp]) -> Vec<Answer> {
    let mut answers = Vec::new();
    for segment in segments {
        let flags = segment.flags & (SYN | RST | ACK | FIN);
        answers.push(match flags {
            ACK if segment.seq == talk.ack => Answer::Ack(segment.ack),
            // Retransmitted while it isn't acknowledged: no reply.
            f if f & FIN != 0 => continue,
            f if f == SYN | ACK => Answer::SynAck(segment.ack),
            RST => Answer::Reset(segment.seq),
            f if f == RST | ACK && segment.seq == 0 => Answer::ResetAck(segment.ack),
            _ => panic!("no answer of any kind: {segment:?}"),
        });
    }
    answers.dedup();
    answers
}

/// Tries all combinations in one state.
fn matrix(state: State) {
    let mut problems = Vec::new();
    let mut count = 0;
    for family in FAMILIES {
        for flags in FLAGS {
            for place in PLACES {
                for acked in ACKS {
                    if flags & ACK == 0 && acked != Acked::All {
                        continue;
                    }
                    count += 1;
                    let mut talk = reach(state, family);
                    let seq = match place {
                        Place::Next => talk.seq,
                        Place::Inside => talk.seq.wrapping_add(100),
                        Place::Left => talk.seq.wrapping_sub(100),
                        Place::Right => talk.seq.wrapping_add(talk.window + 100),
                    };
                    let ack = match acked {
                        Acked::All => talk.ack,
                        Acked::Old => talk.una.wrapping_sub(100),
                        Acked::Future => talk.ack.wrapping_add(100),
                        Acked::Ancient => talk.una.wrapping_sub(1 << 30),
                    };
                    let segment = Tcp {
                        ack,
                        ..Tcp::between(talk.own, talk.other).seq(seq).flags(flags)
                    };
                    let expected = prescribed(state, &talk, &segment, place, acked);
                    talk.send(&segment);
                    let received = {
                        let Talk { host, world, .. } = &mut talk;
                        let mut received = host.listen(world, PATIENCE);
                        received.retain(|received| {
                            received.to == talk.own && received.from == talk.other
                        });
                        received
                    };
                    let found = found(&talk, &received);
                    let allowed = match &found[..] {
                        [] => expected.answers.contains(&Answer::Nothing),
                        [one] => expected.answers.contains(one),
                        _ => false,
                    };
                    let error = match talk.handle {
                        Some(_) => talk.error(),
                        None => None,
                    };
                    if !allowed || error != expected.error {
                        problems.push(format!(
                            "{} flags {flags:#04x}, seq {place:?}, ack {acked:?}: {found:?} and \
                             {error:?} instead of {:?} and {:?} (RCV.NXT {}, SND.NXT {})",
                            family.stack, expected.answers, expected.error, talk.seq, talk.ack
                        ));
                    }
                }
            }
        }
    }
    assert!(
        problems.is_empty(),
        "{state:?}: {} of {count} answers are wrong:\n{}",
        problems.len(),
        problems.join("\n")
    );
}

/// RFC 9293, 3.10.7.1.
#[test]
fn in_closed() {
    matrix(State::Closed);
}

/// RFC 9293, 3.10.7.2.
#[test]
fn in_listen() {
    matrix(State::Listen);
}

/// RFC 9293, 3.10.7.3.
#[test]
fn in_syn_sent() {
    matrix(State::SynSent);
}

/// RFC 9293, 3.10.7.4, as are the next ones; RFC 5961, 3.2, 4.2, 5.2.
#[test]
fn in_syn_received() {
    matrix(State::SynReceived);
}

#[test]
fn in_established() {
    matrix(State::Established);
}

#[test]
fn in_fin_wait_1() {
    matrix(State::FinWait1);
}

#[test]
fn in_fin_wait_2() {
    matrix(State::FinWait2);
}

#[test]
fn in_close_wait() {
    matrix(State::CloseWait);
}

#[test]
fn in_closing() {
    matrix(State::Closing);
}

#[test]
fn in_last_ack() {
    matrix(State::LastAck);
}

/// And RFC 1337, RFC 1122, 4.2.2.13.
#[test]
fn in_time_wait() {
    matrix(State::TimeWait);
}
