//! What an epoch may hold.

use leadline_schemas::Offset;

use super::Bench;

/// Inputs of some 400 bytes, of which a read takes several hundred and an epoch could take all.
const INPUTS: usize = 4_000;

/// How many commits the inputs took, sent before the engine starts so that it never waits for one.
fn commits(body: &str) -> usize {
    let bench = Bench::new();
    for n in 0..INPUTS {
        bench.send(n, "a", &format!("{body:300}"));
    }
    let engine = bench.start();
    bench.until("all is counted", |b| {
        b.frames().last().is_some_and(|frame| frame.inbound_next == Offset(INPUTS as u64))
    });
    assert!(engine.stop());
    bench.frames().len()
}

#[test]
fn an_epoch_closes_at_what_it_makes_of_its_inputs() {
    let (quiet, loud) = (commits("{}"), commits(r#""loud""#));
    assert!(loud >= quiet + 3, "{loud} commits of 8 KiB an input, {quiet} of next to nothing");
}
