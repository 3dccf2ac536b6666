//! dedupe: the same call with the same content has its effect once, under whatever id it comes.

use leadline_schemas::audit::Audit;
use leadline_schemas::command::Command;
use leadline_schemas::contact::Contact;
use leadline_schemas::content_hash;
use leadline_schemas::event::{CallEvent, Event, TextEvent};
use leadline_schemas::inbound::{EventKind, Origin};
use leadline_schemas::request::{Request, RequestStatus};
use leadline_schemas::state::{Seen, WriteBack};
use leadline_schemas::{EventId, Millis};

use crate::contract::{Context, Operator, OperatorId, OperatorResult, Table, TableSpec, TimerKind};
use crate::decode::Decoded;
use crate::publish::Publish;
use crate::stage;

/// CallRail keeps calls this long; after it no payload of a call can come any more.
const CALL_TTL_MS: i64 = 25 * 31 * Millis::DAY;
/// How long our own write-back may take to come back as a call-modified.
const ECHO_TTL_MS: i64 = Millis::DAY;
/// How long a client may send an event again; longer than any outage of a client that still tries.
const EVENT_TTL_MS: i64 = 30 * Millis::DAY;
/// A length that nobody believes is not waited for.
const DURATION_S_MAX: i64 = 24 * 3_600;
/// A webhook that has not come so long after the end of what it tells of does not come any more: the last of them come
/// after 20 minutes.
const UNTOLD_MS: i64 = 25 * Millis::MINUTE;
/// Contents of one call that are told apart from new ones: each of its events, and then its edits.
const HASHES_MAX: usize = 12;

/// What was seen of each call, text and form.
pub const SEEN: Table<Seen> = Table::new(1, "seen", Some(CALL_TTL_MS));
/// Calls known under another id, or by who called which number when.
pub const ALIASES: Table<Seen> = Table::new(2, "aliases", Some(CALL_TTL_MS));
/// What leadline wrote to CallRail itself.
pub const WRITE_BACKS: Table<WriteBack> = Table::new(3, "write_backs", Some(ECHO_TTL_MS));
/// Events of our own API, by their id: the same idempotency key gives the same id.
pub const EVENTS: Table<Seen> = Table::new(4, "events", Some(EVENT_TTL_MS));
const TABLES: &[TableSpec] = &[SEEN.spec, ALIASES.spec, WRITE_BACKS.spec, EVENTS.spec];

/// Lets each content of a call through once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Dedupe;

/// What comes in.
#[derive(Clone, Debug)]
pub enum DedupeIn {
    /// A call, text or form.
    Contact(Box<Contact>),
    /// What leadline is about to write to a call itself.
    WroteBack {
        /// The call.
        call_id: String,
        /// The fields.
        fields: Vec<String>,
    },
}

impl DedupeIn {
    /// What a decoded body is to this operator, if anything.
    pub fn of(decoded: Decoded) -> Option<Self> {
        match decoded {
            Decoded::Contact(contact) => Some(Self::Contact(contact)),
            Decoded::Command(Command::WroteBack { call_id, fields }) => {
                Some(Self::WroteBack { call_id, fields })
            }
            Decoded::Command(_) => None,
        }
    }
}

impl From<Box<Contact>> for DedupeIn {
    fn from(contact: Box<Contact>) -> Self {
        Self::Contact(contact)
    }
}

/// What the stages between dedupe and leads emit.
#[derive(Clone, Debug)]
pub enum ContactOut {
    /// The contact goes on.
    Contact(Box<Contact>),
    /// What became of its request.
    Request(Request),
    /// What nobody would know otherwise: a call, text or form of which no webhook has told, a picture that was not there.
    Untold(Audit),
    /// Something that the tenant should hear of: a command as a person's would be.
    Notice(Command),
}

impl ContactOut {
    /// The contact, if it is one.
    pub fn contact(self) -> Option<Contact> {
        match self {
            Self::Contact(contact) => Some(*contact),
            Self::Request(_) | Self::Untold(_) | Self::Notice(_) => None,
        }
    }

    /// The notice, if it is one.
    pub fn notice(&self) -> Option<Command> {
        match self {
            Self::Notice(notice) => Some(notice.clone()),
            _ => None,
        }
    }

    /// A copy of the contact, if it is a call that may need an alert.
    pub fn call(&self) -> Option<Contact> {
        match self {
            Self::Contact(contact) if !contact.backfill && matches!(contact.event, Event::CallEvent(_)) => {
                Some((**contact).clone())
            }
            _ => None,
        }
    }
}

impl Publish for ContactOut {
    fn publish(&self) -> Option<Result<leadline_schemas::frame::Output, leadline_schemas::avro::AvroError>> {
        match self {
            Self::Contact(_) | Self::Notice(_) => None,
            Self::Request(request) => request.publish(),
            Self::Untold(line) => line.publish(),
        }
    }
}

/// A request row for a contact.
pub(crate) fn request_of<Out>(
    cx: &Context<'_, Out>,
    contact: &Contact,
    status: RequestStatus,
    reason: Option<&str>,
) -> Request {
    let kind = match &contact.event {
        Event::CallEvent(call) => call.kind,
        Event::TextEvent(text) => text.kind,
        Event::FormEvent(_) => EventKind::FormSubmission,
    };
    Request {
        tenant: contact.tenant.clone(),
        request_id: contact.event_id,
        origin: contact.origin,
        kind,
        status,
        reason: reason.map(str::to_owned),
        call_id: Some(contact.event.subject_id().to_owned()),
        lead_id: None,
        received_at: contact.received_at,
        updated_at: cx.now,
    }
}

impl Operator for Dedupe {
    const ID: OperatorId = OperatorId { number: 2, name: "dedupe" };
    type In = DedupeIn;
    type Out = ContactOut;

    fn tables() -> &'static [TableSpec] {
        TABLES
    }

    fn on_record(&mut self, cx: &mut Context<'_, ContactOut>, record: DedupeIn) -> OperatorResult {
        let mut contact = match record {
            DedupeIn::Contact(contact) => contact,
            DedupeIn::WroteBack { call_id, fields } => {
                let at = cx.now;
                cx.put(&WRITE_BACKS, call_id.as_bytes(), WriteBack { fields, at });
                return Ok(());
            }
        };
        if is_repeated(cx, &contact)? {
            return Ok(());
        }
        let is_listed = contact.origin == Origin::CallrailPull;
        match &mut contact.event {
            Event::CallEvent(call) => {
                settle_call_id(cx, call)?;
                if is_echo(cx, call)? {
                    let request = request_of(
                        cx,
                        &contact,
                        RequestStatus::Duplicate,
                        Some("echo of our own write-back"),
                    );
                    cx.emit(ContactOut::Request(request));
                    return Ok(());
                }
            }
            Event::TextEvent(text) => settle_text_id(cx, text, is_listed)?,
            Event::FormEvent(_) => {}
        }
        let hash = i64::from_ne_bytes(content_hash(&contact.event).to_ne_bytes());
        let event = event_mark(contact.event_id);
        let replayed = contact.update;
        let subject_id = contact.event.subject_id();
        let tells = !is_listed && is_over(&contact.event);
        let (first_by, content, is_told) =
            cx.update(&SEEN, subject_id.as_bytes(), Seen::default, |seen| {
                let known = first_event(seen, hash);
                if known.is_none() {
                    remember(seen, hash, event);
                }
                seen.is_told |= tells;
                (known, seen.contents, seen.is_told)
            })?;
        if is_listed && !is_told && !contact.backfill {
            let due = ended_at(&contact).plus(UNTOLD_MS).max(cx.now);
            cx.timer(TimerKind::Now, subject_id.as_bytes(), due)?;
        }
        if let Some(first_by) = first_by
            && !replayed
        {
            // The log may have an event twice: its first append took effect and was not heard of. The first one says
            // what became of it.
            if first_by != event {
                let request = request_of(cx, &contact, RequestStatus::Duplicate, None);
                cx.emit(ContactOut::Request(request));
            }
            return Ok(());
        }
        contact.update = content > 1;
        contact.content = content;
        cx.emit(ContactOut::Contact(contact));
        Ok(())
    }

    /// Whatever a listing has told of first should have been told of by a webhook since.
    fn on_timer(
        &mut self,
        cx: &mut Context<'_, ContactOut>,
        _: TimerKind,
        name: &[u8],
        _: Millis,
    ) -> OperatorResult {
        if cx.get(&SEEN, name)?.is_none_or(|seen| seen.is_told) {
            return Ok(());
        }
        cx.update(&SEEN, name, Seen::default, |seen| seen.is_told = true)?; // It is told of now, once.
        cx.emit(ContactOut::Untold(Audit {
            tenant: cx.key.tenant.clone(),
            id: EventId::of(&[name, b"missed_by_webhooks"]),
            kind: "missed_by_webhooks".to_owned(),
            subject: String::from_utf8_lossy(name).into_owned(),
            text: "CallRail's list had it, and no webhook told of it within 25 minutes of its end".to_owned(),
            event_id: cx.cause.event_id(),
            at: cx.now,
        }));
        Ok(())
    }
}

/// Whether an event says how a call ended; texts and forms are over when they come.
fn is_over(event: &Event) -> bool {
    match event {
        Event::CallEvent(call) => stage::is_over(call),
        Event::TextEvent(_) | Event::FormEvent(_) => true,
    }
}

fn ended_at(contact: &Contact) -> Millis {
    let lasted_s = match &contact.event {
        Event::CallEvent(call) => call.duration_s.unwrap_or(0).clamp(0, DURATION_S_MAX),
        Event::TextEvent(_) | Event::FormEvent(_) => 0,
    };
    contact.event_time.plus(lasted_s * Millis::SECOND)
}

/// CallRail's list has no ids of texts. One that it has told of and one that a webhook told of are the same if caller,
/// second and words are; two webhooks never are.
fn settle_text_id(cx: &mut Context<'_, ContactOut>, text: &mut TextEvent, is_listed: bool) -> OperatorResult {
    let (Some(at), Some(number)) = (text.at, text.customer_number.as_ref()) else { return Ok(()) };
    let second = at.0.div_euclid(Millis::SECOND).to_be_bytes();
    let name = EventId::of(&[b"text", &second, number.as_bytes(), text.content.as_bytes()]);
    match cx.get(&ALIASES, name.as_bytes())? {
        Some(known) if is_listed || !known.is_told => text.text_id.clone_from(&known.subject_id),
        Some(_) => {}
        None => {
            let row = Seen { is_told: !is_listed, ..leads_to(&text.text_id) };
            cx.put(&ALIASES, name.as_bytes(), row);
        }
    }
    Ok(())
}

/// The event that brought this content first, if it was seen; 0 = not known.
fn first_event(seen: &Seen, hash: i64) -> Option<i64> {
    let place = seen.hashes.iter().position(|known| *known == hash)?;
    Some(seen.events.get(place).copied().unwrap_or_default())
}

fn remember(seen: &mut Seen, hash: i64, event: i64) {
    seen.contents += 1;
    // Rows of before have hashes alone.
    seen.events.resize(seen.hashes.len(), 0);
    if seen.hashes.len() >= HASHES_MAX {
        seen.hashes.remove(0);
        seen.events.remove(0);
    }
    seen.hashes.push(hash);
    seen.events.push(event);
}

/// What is kept of an event's id: the part that is random, or a hash.
fn event_mark(id: EventId) -> i64 {
    let [.., a, b, c, d, e, f, g, h] = *id.as_bytes();
    i64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// Whether a client has sent the same event again under its idempotency key. Its first request says what became of it.
fn is_repeated(cx: &mut Context<'_, ContactOut>, contact: &Contact) -> OperatorResult<bool> {
    if !matches!(contact.origin, Origin::Direct | Origin::Process) || contact.update {
        return Ok(false);
    }
    let key = contact.event_id.as_bytes();
    let known = cx.get(&EVENTS, key)?.is_some();
    if !known {
        cx.put(&EVENTS, key, leads_to(contact.event.subject_id()));
    }
    Ok(known)
}

/// Gives a call the id it goes by. A call without `resource_id` is known by company, start, caller and number
/// dialled; the first `CAL` id that comes for these takes over from then on, and older ids lead to it.
fn settle_call_id(cx: &mut Context<'_, ContactOut>, call: &mut CallEvent) -> OperatorResult {
    let is_modern = call.call_id.as_str().starts_with("CAL");
    let natural = natural_key(cx, call);
    let names: Vec<Vec<u8>> = [
        (!is_modern).then(|| call.call_id.as_str().as_bytes().to_vec()),
        call.numeric_id
            .as_ref()
            .filter(|id| id.as_str() != call.call_id.as_str())
            .map(|id| id.as_bytes().to_vec()),
        natural,
    ]
    .into_iter()
    .flatten()
    .collect();
    let mut known = None;
    for name in &names {
        if let Some(alias) = cx.get(&ALIASES, name)? {
            known = Some(alias.subject_id.clone());
            break;
        }
    }
    // What it goes by is what it was first called, so that its record never changes its key.
    let mut goes_by = known.unwrap_or_else(|| call.call_id.0.clone());
    if let Some(seen) = cx.get(&SEEN, goes_by.as_bytes())?
        && !seen.subject_id.is_empty()
    {
        goes_by.clone_from(&seen.subject_id); // It turned out to be another call under two ids.
    }
    for name in names {
        if cx.get(&ALIASES, &name)?.is_none() {
            cx.put(&ALIASES, &name, leads_to(&goes_by));
        }
    }
    if goes_by != call.call_id.0 {
        // The row that is read for every payload of this id leads on, so that no other has to be read.
        let own = call.call_id.0.clone();
        if cx.get(&SEEN, own.as_bytes())?.is_none_or(|seen| seen.subject_id != goes_by) {
            cx.put(&SEEN, own.as_bytes(), leads_to(&goes_by));
        }
        // The id it came under stays with it, so that it can be found under that too.
        call.numeric_id = Some(std::mem::replace(&mut call.call_id.0, goes_by));
    }
    Ok(())
}

/// A row that says what a call goes by.
fn leads_to(subject_id: &str) -> Seen {
    Seen { subject_id: subject_id.to_owned(), ..Seen::default() }
}

/// Start, caller and number dialled, where the payload has all three. The company is not part of it: its id differs
/// between the generations, and a number that can be dialled belongs to one company.
fn natural_key(cx: &Context<'_, ContactOut>, call: &CallEvent) -> Option<Vec<u8>> {
    // Modern payloads of one call all carry its id. Only where webhooks may still be of the older generation (they
    // name the company by a number) does one have to be found by its circumstances.
    let mixed = cx.tenant().is_some_and(|tenant| {
        tenant.companies.iter().any(|company| company.ids.iter().any(|id| !id.starts_with("COM")))
    });
    if call.numeric_id.is_none() && !mixed {
        return None;
    }
    let (caller, number) = (call.caller_number.as_ref()?, call.tracking_number.as_ref()?);
    let id = EventId::of(&[&call.started_at?.0.to_be_bytes(), caller.as_bytes(), number.as_bytes()]);
    Some(id.as_bytes().to_vec())
}

/// Whether a call-modified only tells us what we have written ourselves.
fn is_echo(cx: &mut Context<'_, ContactOut>, call: &CallEvent) -> OperatorResult<bool> {
    if call.kind != EventKind::CallModified || call.changes.is_empty() {
        return Ok(false);
    }
    let written = cx.get(&WRITE_BACKS, call.call_id.as_str().as_bytes())?;
    Ok(written.is_some_and(|written| call.changes.iter().all(|field| written.fields.contains(field))))
}
