//! The dataflow of one partition: operators wired by `pipeline.rs`.
//!
//! The only file besides `worker.rs` that knows timely. Every record carries its key, cause and event time; the
//! timely timestamp is a tick, of which an epoch has one per batch fed. A flow is consumed by operators, `pick`s
//! and `publish`; the probe tells when a tick is through.
//!
//! The operators of a partition are chained: they are one timely operator, in which whoever emits a record calls those
//! that consume it. So a record goes all its way while it is in the cache, where a timely operator for each would see a
//! whole batch before the next one sees its first record, and a tick costs the same for one operator as for twenty.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use leadline_operators::contract::{
    Cause, Context, Fault, Operator, OperatorResult, Scope, TableSpec, TimerKind,
};
use leadline_schemas::avro::AvroError;
use leadline_schemas::frame::Output;
use leadline_schemas::inbound::Inbound;
use leadline_schemas::partitioning::Key;
use leadline_schemas::reply::{Answered, JobFailed};
use leadline_schemas::{JobId, Millis};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline as InThread;
use timely::dataflow::operators::generic::Operator as _;
use timely::dataflow::operators::probe::{Handle as ProbeHandle, Probe};
use timely::dataflow::{InputHandle, Scope as TimelyScope};

use super::effects::{Call, Epoch};
use super::keys;
use super::topology::{Edge, Node, Topology};

/// The timely timestamp: one per batch that is fed.
pub(super) type Tick = u64;

/// What an input's state is filed under, and what caused it: the same for all that comes of it.
#[derive(Clone)]
pub(super) struct Origin {
    pub(super) key: Key,
    pub(super) cause: Cause,
}

/// A record on its way.
#[derive(Clone)]
pub(super) struct Item<T> {
    origin: Rc<Origin>,
    event_time: Millis,
    body: T,
}

impl Item<Inbound> {
    /// An accepted event. Its event time is its receipt's, as far as the envelope knows; decode knows better.
    pub(super) fn accepted(inbound: Inbound) -> Rc<Self> {
        let origin = Origin { key: inbound.key(), cause: Cause::Event(inbound.event_id) };
        Rc::new(Self { origin: Rc::new(origin), event_time: inbound.received_at, body: inbound })
    }
}

/// A reply or a timer, for the operator that asked for it.
#[derive(Clone)]
pub(super) struct Signal {
    pub(super) operator: &'static str,
    pub(super) origin: Rc<Origin>,
    pub(super) event_time: Millis,
    pub(super) what: SignalKind,
}

#[derive(Clone)]
pub(super) enum SignalKind {
    Reply(JobId, Result<Answered, JobFailed>),
    Timer(TimerKind, Vec<u8>, Millis),
}

/// A stream of records of one type between operators.
pub struct Flow<T> {
    outlet: Rc<RefCell<Outlet<T>>>,
    graph: Graph,
    from: String,
}

/// Who is given the records of a flow.
struct Outlet<T> {
    /// Those that look at them, in the order in which they came.
    lookers: Vec<Looker<T>>,
    /// The one that takes them, after all have looked.
    taker: Option<Taker<T>>,
}

type Looker<T> = Box<dyn FnMut(&Item<T>)>;
type Taker<T> = Box<dyn FnMut(Item<T>)>;

impl<T> Default for Outlet<T> {
    fn default() -> Self {
        Self { lookers: Vec::new(), taker: None }
    }
}

impl<T> Outlet<T> {
    fn give(&mut self, item: Item<T>) {
        self.lookers.iter_mut().for_each(|look| look(&item));
        if let Some(take) = &mut self.taker {
            take(item);
        }
    }
}

/// What `pipeline.rs` builds on: the operators so far and the epoch they write to.
#[derive(Clone)]
struct Graph {
    epoch: Rc<RefCell<Epoch>>,
    operators: Rc<RefCell<Vec<Named>>>,
    topology: Rc<RefCell<Topology>>,
}

/// An operator that is found by its name, for its replies and timers.
type Named = (&'static str, Rc<RefCell<dyn TakesSignals>>);

/// The ends of a built graph that the partition holds.
pub(super) struct Inputs {
    pub(super) inbound: InputHandle<Tick, CapacityContainerBuilder<Vec<Rc<Item<Inbound>>>>>,
    pub(super) signals: InputHandle<Tick, CapacityContainerBuilder<Vec<Rc<Signal>>>>,
    pub(super) probe: ProbeHandle<Tick>,
}

/// How a pipeline is built: from the accepted events of a partition.
pub type BuildPipeline = fn(Flow<Inbound>);

/// Builds the dataflow of one partition.
pub(super) fn build(
    scope: TimelyScope<'_, Tick>,
    epoch: Rc<RefCell<Epoch>>,
    pipeline: BuildPipeline,
) -> (Inputs, Topology) {
    let (mut inbound, mut signals) = (InputHandle::new(), InputHandle::new());
    let (inbound_stream, signals_stream) = (inbound.to_stream(scope), signals.to_stream(scope));
    let graph = Graph { epoch, operators: Rc::default(), topology: Rc::default() };
    let accepted: Rc<RefCell<Outlet<Inbound>>> = Rc::default();
    pipeline(Flow { outlet: Rc::clone(&accepted), graph: graph.clone(), from: "inbound".to_owned() });
    let probe = ProbeHandle::new();
    let Graph { operators, topology, .. } = graph;
    inbound_stream
        .binary::<_, CapacityContainerBuilder<Vec<()>>, _, _, _, _>(
            signals_stream,
            InThread,
            InThread,
            "operators",
            move |_, _| {
                move |records, signals, _output| {
                    signals.for_each(|_capability, batch: &mut Vec<Rc<Signal>>| {
                        batch.drain(..).for_each(|signal| dispatch(&operators.borrow(), &signal));
                    });
                    records.for_each(|_capability, batch: &mut Vec<Rc<Item<Inbound>>>| {
                        let mut accepted = accepted.borrow_mut();
                        batch.drain(..).for_each(|item| accepted.give(Rc::unwrap_or_clone(item)));
                    });
                }
            },
        )
        .probe_with(&probe);
    (Inputs { inbound, signals, probe }, topology.take())
}

fn dispatch(operators: &[Named], signal: &Signal) {
    if let Some((_, operator)) = operators.iter().find(|(name, _)| *name == signal.operator) {
        operator.borrow_mut().on_signal(signal);
    }
}

impl<T: 'static> Flow<T> {
    /// Runs an operator on these records; its replies and timers come to it by themselves.
    pub fn operator<O: Operator<In = T>>(self, operator: O) -> Flow<O::Out> {
        self.graph.note::<O>(&self.from);
        let outlet = Rc::new(RefCell::new(Outlet::default()));
        let runner = Rc::new(RefCell::new(Runner {
            operator,
            epoch: Rc::clone(&self.graph.epoch),
            buffer: Vec::new(),
            out: Vec::new(),
            outlet: Rc::clone(&outlet),
        }));
        let named = Rc::clone(&runner);
        self.graph.operators.borrow_mut().push((O::ID.name, named));
        self.outlet.borrow_mut().taker = Some(Box::new(move |item| runner.borrow_mut().on_item(item)));
        Flow { outlet, graph: self.graph, from: O::ID.name.to_owned() }
    }

    /// What `choose` makes of these records. It sees them by reference, for flows with several consumers.
    pub fn pick<U: 'static>(&self, choose: impl Fn(&T) -> Option<U> + 'static) -> Flow<U> {
        let (next, outlet) = self.next();
        self.outlet.borrow_mut().lookers.push(Box::new(move |item| {
            if let Some(body) = choose(&item.body) {
                let (origin, event_time) = (Rc::clone(&item.origin), item.event_time);
                outlet.borrow_mut().give(Item { origin, event_time, body });
            }
        }));
        next
    }

    /// As `pick`, by value: the last consumer of a flow is given the records themselves, without a copy.
    pub fn take<U: 'static>(self, choose: impl Fn(T) -> Option<U> + 'static) -> Flow<U> {
        let (next, outlet) = self.next();
        self.outlet.borrow_mut().taker = Some(Box::new(move |Item { origin, event_time, body }| {
            if let Some(body) = choose(body) {
                outlet.borrow_mut().give(Item { origin, event_time, body });
            }
        }));
        next
    }

    /// A flow of what is made of these records, and where they are put in.
    fn next<U>(&self) -> (Flow<U>, Rc<RefCell<Outlet<U>>>) {
        let outlet = Rc::new(RefCell::new(Outlet::default()));
        let flow = Flow { outlet: Rc::clone(&outlet), graph: self.graph.clone(), from: self.from.clone() };
        (flow, outlet)
    }

    /// These records and others of the same type.
    pub fn and(self, other: Self) -> Self {
        let (mut both, outlet) = self.next();
        for flow in [&self, &other] {
            let outlet = Rc::clone(&outlet);
            flow.outlet.borrow_mut().taker = Some(Box::new(move |item| outlet.borrow_mut().give(item)));
        }
        both.from = format!("{}|{}", self.from, other.from);
        both
    }

    /// Writes records to their output topics, in the epoch's commit.
    pub fn publish(&self, output: impl Fn(&T) -> Option<Result<Output, AvroError>> + 'static) {
        let epoch = Rc::clone(&self.graph.epoch);
        self.graph
            .topology
            .borrow_mut()
            .edges
            .push(Edge { from: self.from.clone(), to: "topics".to_owned() });
        self.outlet.borrow_mut().lookers.push(Box::new(move |item| match output(&item.body) {
            None => {}
            Some(Ok(output)) => epoch.borrow_mut().outputs.push(output),
            Some(Err(error)) => epoch.borrow_mut().fail("publish", Fault::poison(error.to_string())),
        }));
    }
}

impl Graph {
    fn note<O: Operator>(&self, from: &str) {
        let mut topology = self.topology.borrow_mut();
        for source in from.split('|') {
            topology.edges.push(Edge { from: source.to_owned(), to: O::ID.name.to_owned() });
        }
        let tables: Vec<TableSpec> = O::tables().to_vec();
        topology.nodes.push(Node { id: O::ID, scope: O::SCOPE, tables });
    }
}

/// Calls one operator, one input at a time.
struct Runner<O: Operator> {
    operator: O,
    epoch: Rc<RefCell<Epoch>>,
    buffer: Vec<u8>,
    out: Vec<O::Out>,
    outlet: Rc<RefCell<Outlet<O::Out>>>,
}

/// What is given the replies and timers of an operator.
trait TakesSignals {
    fn on_signal(&mut self, signal: &Signal);
}

impl<O: Operator> TakesSignals for Runner<O> {
    fn on_signal(&mut self, signal: &Signal) {
        let what = signal.what.clone();
        self.call(Rc::clone(&signal.origin), signal.event_time, |operator, cx| match what {
            SignalKind::Reply(job_id, answer) => operator.on_reply(cx, job_id, answer),
            SignalKind::Timer(kind, name, at) => operator.on_timer(cx, kind, &name, at),
        });
    }
}

impl<O: Operator> Runner<O> {
    fn on_item(&mut self, Item { origin, event_time, body }: Item<O::In>) {
        self.call(origin, event_time, |operator, cx| operator.on_record(cx, body));
    }

    /// One call, and then those of the operators behind with what it emits. After a fault nothing more is run in this
    /// tick: its effects will be dropped anyhow.
    fn call(
        &mut self,
        origin: Rc<Origin>,
        received_at: Millis,
        call: impl FnOnce(&mut O, &mut Context<'_, O::Out>) -> OperatorResult,
    ) {
        let mut epoch = self.epoch.borrow_mut();
        if epoch.fault.is_some() {
            return;
        }
        let Origin { key, cause } = &*origin;
        let slot = if O::SCOPE == Scope::Slot { epoch.slot(key) } else { 0 };
        keys::row_prefix(&mut self.buffer, key, O::SCOPE, slot);
        self.buffer.push(O::ID.number);
        let prefix_bytes = self.buffer.len();
        let (now, settings) = (epoch.now, std::sync::Arc::clone(&epoch.settings));
        let mut effects = Call {
            epoch: &mut epoch,
            operator: O::ID,
            scope: O::SCOPE,
            key,
            cause,
            event_time: received_at,
            buffer: &mut self.buffer,
            prefix_bytes,
        };
        let (operator, out) = (&mut self.operator, &mut self.out);
        let result = catch_unwind(AssertUnwindSafe(|| {
            let mut cx = Context::new(key, cause, (now, received_at), &settings, &mut effects, out);
            call(operator, &mut cx).map(|()| cx.event_time)
        }));
        let mut event_time = received_at;
        match result.unwrap_or_else(|panic| Err(Fault::Poison(panic_text(&*panic)))) {
            Ok(corrected) if corrected != received_at => {
                epoch.observe(corrected, received_at);
                event_time = corrected;
            }
            Ok(_) => {}
            Err(fault) => epoch.fail(O::ID.name, fault),
        }
        drop(epoch);
        let mut outlet = self.outlet.borrow_mut();
        for body in self.out.drain(..) {
            outlet.give(Item { origin: Rc::clone(&origin), event_time, body });
        }
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("the operator panicked: {}", text.unwrap_or("no message"))
}
