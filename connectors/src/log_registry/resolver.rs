//! Resolver: the thread that talks to the registry, so that nobody who reads has to wait for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use leadline_schemas::{Topic, avro};
use tokio::runtime::Runtime;

use super::client::{RegistryClient, RegistryConfig, RegistryError, incompatible};
use super::schemas::Schemas;
use super::{Place, lock};

/// How long it is waited before the registry is asked for the same id again.
const AGAIN: Duration = Duration::from_secs(1);

type Answer = mpsc::Sender<Result<(), RegistryError>>;
type Started = mpsc::Sender<Result<Arc<Schemas>, RegistryError>>;

/// What it is asked for.
enum Wish {
    /// An id that a reader of this place waits for.
    Place(u32, Place),
    /// An id that somebody waits for.
    Caller(u32, Answer),
}

/// A handle on the thread; it ends with it.
pub(super) struct Resolver {
    wishes: Mutex<mpsc::Sender<Wish>>,
    /// Why ids are not resolved.
    trouble: Arc<Mutex<BTreeMap<u32, String>>>,
}

impl Resolver {
    /// Registers all schemas under their subjects; from then on looks ids up and tells where one was waited for.
    pub(super) fn start(
        config: RegistryConfig,
        subjects: Vec<(Topic, String)>,
        tell: impl Fn(Place) + Send + 'static,
    ) -> Result<(Self, Arc<Schemas>), RegistryError> {
        let url = config.url.clone();
        let not_started = |why: String| RegistryError::Unavailable { url: url.clone(), why };
        let client = RegistryClient::new(config)?;
        let trouble = Arc::<Mutex<BTreeMap<u32, String>>>::default();
        let (wishes, wanted) = mpsc::channel();
        let (started, start) = mpsc::channel::<Result<Arc<Schemas>, RegistryError>>();
        let told = Arc::clone(&trouble);
        let run = move || run(&client, &subjects, (&started, &wanted), &told, &tell);
        std::thread::Builder::new()
            .name("schema-registry".to_owned())
            .spawn(run)
            .map_err(|error| not_started(format!("its thread cannot be started: {error}")))?;
        let schemas = start.recv().unwrap_or_else(|_| Err(not_started("its thread ended".to_owned())))?;
        Ok((Self { wishes: Mutex::new(wishes), trouble }, schemas))
    }

    /// Sends for an id; the listener of the place is told when it is known.
    pub(super) fn want(&self, id: u32, place: Place) {
        // The thread ends after this.
        let _ = lock(&self.wishes).send(Wish::Place(id, place));
    }

    /// Looks an id up and waits for the answer.
    pub(super) fn resolve(&self, id: u32) -> Result<(), RegistryError> {
        let (answer, answered) = mpsc::channel();
        let _ = lock(&self.wishes).send(Wish::Caller(id, answer));
        let ended = RegistryError::Unavailable { url: String::new(), why: "the log is closed".to_owned() };
        answered.recv().unwrap_or(Err(ended))
    }

    /// Why a partition waits, if one does.
    pub(super) fn trouble(&self) -> Option<String> {
        let trouble = lock(&self.trouble);
        let (id, why) = trouble.first_key_value()?;
        Some(format!("a partition waits for schema {id}: {why}"))
    }
}

fn run(
    client: &RegistryClient,
    subjects: &[(Topic, String)],
    (started, wanted): (&Started, &mpsc::Receiver<Wish>),
    trouble: &Mutex<BTreeMap<u32, String>>,
    tell: &dyn Fn(Place),
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        // Who waits for the start hears that the thread has ended.
        Err(error) => return tracing::error!(%error, "no runtime for the schema registry"),
    };
    let schemas = match runtime.block_on(register(client, subjects)) {
        Ok(schemas) => Arc::new(schemas),
        Err(error) => {
            // Whoever asked may have gone.
            let _ = started.send(Err(error));
            return;
        }
    };
    let _ = started.send(Ok(Arc::clone(&schemas)));
    let mut looking = Looking { client, runtime, schemas, trouble, waiting: BTreeMap::new() };
    let mut looked = Instant::now();
    loop {
        match wanted.recv_timeout(AGAIN) {
            Ok(Wish::Place(id, place)) => {
                // Asked for already: a partition that is read again and again asks no oftener.
                let is_new = !looking.waiting.contains_key(&id);
                looking.waiting.entry(id).or_default().insert(place);
                if is_new {
                    let _ = looking.look(id, tell); // It is said by health.
                }
            }
            Ok(Wish::Caller(id, answer)) => {
                let _ = answer.send(looking.look(id, tell));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if looked.elapsed() >= AGAIN {
            looked = Instant::now();
            for id in looking.waiting.keys().copied().collect::<Vec<_>>() {
                let _ = looking.look(id, tell); // It is said by health.
            }
        }
    }
}

/// Ids that are looked up until they are found.
struct Looking<'a> {
    client: &'a RegistryClient,
    runtime: Runtime,
    schemas: Arc<Schemas>,
    trouble: &'a Mutex<BTreeMap<u32, String>>,
    waiting: BTreeMap<u32, BTreeSet<Place>>,
}

impl Looking<'_> {
    fn look(&mut self, id: u32, tell: &dyn Fn(Place)) -> Result<(), RegistryError> {
        if self.schemas.fingerprint(id).is_none() {
            match self.runtime.block_on(self.client.fingerprint(id)) {
                Ok(fingerprint) => self.schemas.learn(id, fingerprint),
                Err(error) => {
                    if lock(self.trouble).insert(id, error.to_string()).is_none() {
                        tracing::error!(id, %error, "a schema is not known: its partitions wait");
                    }
                    return Err(error);
                }
            }
        }
        if lock(self.trouble).remove(&id).is_some() {
            tracing::info!(id, "the schema is known now");
        }
        self.waiting.remove(&id).unwrap_or_default().into_iter().for_each(tell);
        Ok(())
    }
}

/// Registers all that this binary may write: what an earlier one has spooled or asks to be written once more, too.
async fn register(client: &RegistryClient, subjects: &[(Topic, String)]) -> Result<Schemas, RegistryError> {
    let mut registered = Vec::new();
    for (topic, subject) in subjects {
        check(client, *topic, subject).await?;
        for entry in avro::of_topic(*topic) {
            let id = client.register(subject, entry).await?;
            registered.push((*topic, entry.fingerprint, id));
        }
    }
    Ok(Schemas::new(&registered))
}

/// Refuses a subject whose newest schema is somebody else's and does not go with ours, whatever the registry would let
/// pass.
async fn check(client: &RegistryClient, topic: Topic, subject: &str) -> Result<(), RegistryError> {
    let Some(ours) = avro::of_topic(topic).last() else { return Ok(()) };
    let Some(theirs) = client.newest(subject).await? else { return Ok(()) };
    avro::are_compatible(ours.json, &theirs).map_err(|why| incompatible(subject, ours, &why))
}
