//! The way of events into `inbound`, whichever layout they go to, and by the spool where there is one.

use std::sync::Arc;
use std::time::Duration;

use leadline_connectors::contract::BoxFuture;
use leadline_connectors::contract::log::{Append, AppendError, Log};
use leadline_connectors::contract::source::Intake as _;
use leadline_schemas::avro::AvroError;
use leadline_schemas::inbound::{Inbound, Origin};
use leadline_schemas::layout::Shape;
use leadline_schemas::partitioning;
use leadline_schemas::{Offset, Partition, Topic};

use super::SettingsService;
use super::route::{Route, written};
use crate::appends::Appends;

/// How long an event that the layout before has refused waits until the next is open.
const ROUTE_MAX: Duration = Duration::from_secs(5);

impl SettingsService {
    /// The layout that events go to.
    pub fn layout(&self) -> partitioning::Layout {
        self.route.borrow().shape.layout()
    }

    /// Events go to this layout from now on. Those that the layout before has refused do so too.
    pub fn lead_to(&self, shape: Shape, log: Arc<dyn Log>) {
        self.route.send_replace(Arc::new(Route::new(shape, log)));
    }

    /// Events go by way of the spool from now on.
    pub fn spool_through(&self, spooled: Arc<dyn Log>) {
        // There is one for the life of the process.
        let _ = self.spooled.set(Appends::new(spooled));
    }

    /// How the log is that events go to.
    pub fn way(&self) -> Arc<dyn Log> {
        Arc::clone(&self.route.borrow().log)
    }

    /// Appends events as the newest layout has them: whoever kept them for a while does not know where that is. They have
    /// their order when this returns.
    pub fn append_where_they_belong(
        self: Arc<Self>,
        events: Vec<Append>,
    ) -> BoxFuture<'static, Result<Vec<Offset>, AppendError>> {
        let route = Arc::clone(&self.route.borrow());
        let appending = self.append_to(&route, &events);
        Box::pin(async move {
            match appending.await {
                Err(AppendError::Refused(why)) => self.append_in_newer(route, &events, why).await,
                answer => answer,
            }
        })
    }

    /// Appends events that the layout of `route` has refused.
    async fn append_in_newer(
        &self,
        mut route: Arc<Route>,
        events: &[Append],
        mut refused: String,
    ) -> Result<Vec<Offset>, AppendError> {
        loop {
            route = match self.newer_route(route.shape.generation).await {
                Some(newer) => newer,
                None => return Err(AppendError::Refused(refused)),
            };
            // Some may have been taken by the layout before: an event id takes effect once.
            match self.append_to(&route, events).await {
                Err(AppendError::Refused(why)) => refused = why,
                answer => return answer,
            }
        }
    }

    /// Hands an event on; what is returned waits until it is durable.
    pub(super) fn begin(
        &self,
        event: Inbound,
    ) -> Result<BoxFuture<'_, Result<Offset, AppendError>>, AvroError> {
        // A person waits for what comes of these, and does not want it done at some later time.
        let is_direct = matches!(event.origin, Origin::Command | Origin::Process);
        if let Some(spooled) = self.spooled.get().filter(|_| !is_direct) {
            let partition = self.layout().partition(event.key_group);
            return Ok(Box::pin(spooled.append(partition, event.tenant.to_bytes(), written(&event)?)));
        }
        let route = Arc::clone(&self.route.borrow());
        let (partition, changed) = route.address(&event, self.spread(&route, &event))?;
        let value = changed.map_or_else(|| written(&event), Ok)?;
        let appending = route.appends.append(partition, event.tenant.to_bytes(), value);
        Ok(Box::pin(async move {
            match appending.await {
                Err(AppendError::Refused(why)) => {
                    Box::pin(self.append_one_in_newer(route, &event, why)).await
                }
                answer => answer,
            }
        }))
    }

    async fn append_one_in_newer(
        &self,
        route: Arc<Route>,
        event: &Inbound,
        refused: String,
    ) -> Result<Offset, AppendError> {
        let value = written(event).map_err(|error| AppendError::Failed(error.to_string()))?;
        let key = event.tenant.to_bytes();
        // The newer layout says in which partition.
        let event = [Append { topic: Topic::Inbound, partition: Partition(0), key, value }];
        let offsets = self.append_in_newer(route, &event, refused).await?;
        offsets.first().copied().ok_or_else(|| AppendError::Failed("the log did not answer".to_owned()))
    }

    fn append_to(
        &self,
        route: &Route,
        events: &[Append],
    ) -> BoxFuture<'static, Result<Vec<Offset>, AppendError>> {
        let addressed = events.iter().map(|append| {
            let event = Inbound::decode(&append.value)?;
            let (partition, changed) = route.address(&event, self.spread(route, &event))?;
            let value = changed.unwrap_or_else(|| append.value.clone());
            Ok(Append { topic: Topic::Inbound, partition, key: event.tenant.to_bytes(), value })
        });
        match addressed.collect::<Result<Vec<Append>, AvroError>>() {
            Ok(appends) => route.log.append(appends),
            Err(error) => Box::pin(std::future::ready(Err(AppendError::Failed(error.to_string())))),
        }
    }

    /// The spread of an event's tenant in the layout of a route. The event was judged under settings of any layout.
    fn spread(&self, route: &Route, event: &Inbound) -> Option<u16> {
        let settings = self.current();
        let known = settings.layout().and_then(|layout| layout.of_generation(route.shape.generation));
        known.unwrap_or(&route.shape).spread(&event.tenant)
    }

    /// Waits for a newer layout than this one, if the settings have it already; it is opened at this moment.
    async fn newer_route(&self, generation: u32) -> Option<Arc<Route>> {
        let settings = self.fresh_settings().await;
        let newest = settings.layout()?.shape.generation;
        let mut routes = self.route.subscribe();
        let is_newer = |route: &Arc<Route>| route.shape.generation > generation;
        let waited = tokio::time::timeout(ROUTE_MAX, routes.wait_for(is_newer));
        if newest <= generation {
            return None;
        }
        Some(Arc::clone(&*waited.await.ok()?.ok()?))
    }
}
