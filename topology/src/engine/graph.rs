//! The dataflow of one partition: operators as timely operators, wired by `pipeline.rs`.
//!
//! The only file besides `worker.rs` that knows timely. Every record carries its key, cause and event time; the
//! timely timestamp is a tick, of which an epoch has one per batch fed. A flow is consumed by operators, `pick`s
//! and `publish`; the probe on every publish tells when a tick is through.

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
use timely::dataflow::channels::pact::Pipeline as InThread;
use timely::dataflow::operators::core::Concatenate;
use timely::dataflow::operators::generic::Operator as _;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::probe::{Handle as ProbeHandle, Probe};
use timely::dataflow::operators::vec::{Filter, Map};
use timely::dataflow::{InputHandle, Scope as TimelyScope, StreamVec};

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
pub struct Flow<'s, T: Clone + 'static> {
    stream: StreamVec<'s, Tick, Rc<Item<T>>>,
    graph: Graph<'s>,
    from: String,
}

/// What `pipeline.rs` builds on: the partition's sources and the epoch they write to.
#[derive(Clone)]
pub struct Graph<'s> {
    scope: TimelyScope<'s, Tick>,
    epoch: Rc<RefCell<Epoch>>,
    signals: StreamVec<'s, Tick, Rc<Signal>>,
    probe: ProbeHandle<Tick>,
    topology: Rc<RefCell<Topology>>,
}

/// The ends of a built graph that the partition holds.
pub(super) struct Inputs {
    pub(super) inbound:
        InputHandle<Tick, timely::container::CapacityContainerBuilder<Vec<Rc<Item<Inbound>>>>>,
    pub(super) signals: InputHandle<Tick, timely::container::CapacityContainerBuilder<Vec<Rc<Signal>>>>,
    pub(super) probe: ProbeHandle<Tick>,
}

/// How a pipeline is built: from the accepted events of a partition.
pub type BuildPipeline = for<'s> fn(Flow<'s, Inbound>);

/// Builds the dataflow of one partition.
pub(super) fn build<'s>(
    scope: TimelyScope<'s, Tick>,
    epoch: Rc<RefCell<Epoch>>,
    pipeline: BuildPipeline,
) -> (Inputs, Topology) {
    let (mut inbound, mut signals) = (InputHandle::new(), InputHandle::new());
    let inbound_stream = inbound.to_stream(scope);
    let signals_stream = signals.to_stream(scope);
    let probe = ProbeHandle::new();
    let topology = Rc::new(RefCell::new(Topology::default()));
    let graph =
        Graph { scope, epoch, signals: signals_stream, probe: probe.clone(), topology: Rc::clone(&topology) };
    pipeline(Flow { stream: inbound_stream, graph, from: "inbound".to_owned() });
    let built = topology.take();
    (Inputs { inbound, signals, probe }, built)
}

impl<'s, T: Clone + 'static> Flow<'s, T> {
    /// Runs an operator on these records; its replies and timers come to it by themselves.
    pub fn operator<O: Operator<In = T>>(self, operator: O) -> Flow<'s, O::Out>
    where
        O::Out: Clone,
    {
        let graph = self.graph.clone();
        graph.note::<O>(&self.from);
        let name = O::ID.name;
        let mut builder = OperatorBuilder::new(name.to_owned(), graph.scope);
        let mine = graph.signals.clone().filter(move |signal| signal.operator == name);
        let mut records = builder.new_input(self.stream, InThread);
        let mut signals = builder.new_input(mine, InThread);
        let (output, stream) = builder.new_output::<Vec<Rc<Item<O::Out>>>>();
        let mut output = timely::dataflow::operators::generic::OutputBuilder::from(output);
        let mut runner =
            Runner { operator, epoch: Rc::clone(&graph.epoch), buffer: Vec::new(), out: Vec::new() };
        builder.build(move |_capabilities| {
            move |_frontiers| {
                let mut session = output.activate();
                signals.for_each(|capability, batch| {
                    let mut given = session.session(&capability);
                    for signal in batch.drain(..) {
                        given.give_iterator(runner.on_signal(&signal));
                    }
                });
                records.for_each(|capability, batch| {
                    let mut given = session.session(&capability);
                    for item in batch.drain(..) {
                        given.give_iterator(runner.on_item(item));
                    }
                });
            }
        });
        Flow { stream, graph, from: name.to_owned() }
    }

    /// What `choose` makes of these records. It sees them by reference, for flows with several consumers.
    pub fn pick<U: Clone + 'static>(&self, choose: impl Fn(&T) -> Option<U> + 'static) -> Flow<'s, U> {
        self.derive(move |item| {
            let body = choose(&item.body)?;
            Some(Rc::new(Item { origin: Rc::clone(&item.origin), event_time: item.event_time, body }))
        })
    }

    /// As `pick`, by value: the last consumer of a flow is given the records themselves, without a copy.
    pub fn take<U: Clone + 'static>(self, choose: impl Fn(T) -> Option<U> + 'static) -> Flow<'s, U> {
        self.derive(move |item| {
            let Item { origin, event_time, body } = Rc::unwrap_or_clone(item);
            choose(body).map(|body| Rc::new(Item { origin, event_time, body }))
        })
    }

    fn derive<U: Clone + 'static>(
        &self,
        make: impl Fn(Rc<Item<T>>) -> Option<Rc<Item<U>>> + 'static,
    ) -> Flow<'s, U> {
        let stream = self.stream.clone().flat_map(make);
        Flow { stream, graph: self.graph.clone(), from: self.from.clone() }
    }

    /// These records and others of the same type.
    pub fn and(self, other: Self) -> Self {
        let stream = self.graph.scope.concatenate([self.stream, other.stream]);
        Flow { stream, graph: self.graph, from: format!("{}|{}", self.from, other.from) }
    }

    /// Writes records to their output topics, in the epoch's commit.
    pub fn publish(&self, output: impl Fn(&T) -> Option<Result<Output, AvroError>> + 'static) {
        let epoch = Rc::clone(&self.graph.epoch);
        self.graph
            .topology
            .borrow_mut()
            .edges
            .push(Edge { from: self.from.clone(), to: "topics".to_owned() });
        self.stream
            .clone()
            .unary::<timely::container::CapacityContainerBuilder<Vec<()>>, _, _, _>(
                InThread,
                "publish",
                move |_, _| {
                    move |input, _output| {
                        input.for_each(|_capability, batch| {
                            let mut epoch = epoch.borrow_mut();
                            for item in batch.drain(..) {
                                match output(&item.body) {
                                    None => {}
                                    Some(Ok(output)) => epoch.outputs.push(output),
                                    Some(Err(error)) => {
                                        epoch.fail("publish", Fault::poison(error.to_string()))
                                    }
                                }
                            }
                        });
                    }
                },
            )
            .probe_with(&self.graph.probe);
    }
}

impl Graph<'_> {
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
}

impl<O: Operator> Runner<O>
where
    O::In: Clone,
{
    fn on_item(&mut self, item: Rc<Item<O::In>>) -> impl Iterator<Item = Rc<Item<O::Out>>> + '_ {
        let Item { origin, event_time, body } = Rc::unwrap_or_clone(item);
        self.call(origin, event_time, |operator, cx| operator.on_record(cx, body))
    }

    fn on_signal(&mut self, signal: &Signal) -> impl Iterator<Item = Rc<Item<O::Out>>> + '_ {
        let what = signal.what.clone();
        self.call(Rc::clone(&signal.origin), signal.event_time, |operator, cx| match what {
            SignalKind::Reply(job_id, answer) => operator.on_reply(cx, job_id, answer),
            SignalKind::Timer(kind, name, at) => operator.on_timer(cx, kind, &name, at),
        })
    }

    /// One call. After a fault nothing more is run in this tick: its effects will be dropped anyhow.
    fn call(
        &mut self,
        origin: Rc<Origin>,
        received_at: Millis,
        call: impl FnOnce(&mut O, &mut Context<'_, O::Out>) -> OperatorResult,
    ) -> impl Iterator<Item = Rc<Item<O::Out>>> + '_ {
        let mut epoch = self.epoch.borrow_mut();
        let Origin { key, cause } = &*origin;
        let mut event_time = received_at;
        if epoch.fault.is_none() {
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
                event_time,
                buffer: &mut self.buffer,
                prefix_bytes,
            };
            let (operator, out) = (&mut self.operator, &mut self.out);
            let result = catch_unwind(AssertUnwindSafe(|| {
                let mut cx = Context::new(key, cause, (now, received_at), &settings, &mut effects, out);
                call(operator, &mut cx).map(|()| cx.event_time)
            }));
            match result.unwrap_or_else(|panic| Err(Fault::Poison(panic_text(&*panic)))) {
                Ok(corrected) if corrected != received_at => {
                    epoch.observe(corrected, received_at);
                    event_time = corrected;
                }
                Ok(_) => {}
                Err(fault) => epoch.fail(O::ID.name, fault),
            }
        }
        drop(epoch);
        self.out.drain(..).map(move |body| Rc::new(Item { origin: Rc::clone(&origin), event_time, body }))
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("the operator panicked: {}", text.unwrap_or("no message"))
}
