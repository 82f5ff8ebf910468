//! Refuses by name, before anything is sent, what a request asks for beside its model: tools and units without a price, and
//! other models that the key may not use.

use super::{Proxy, error::ProxyError, exchange::PlannedTarget};
use crate::{
    admission::{keyring::KeyState, refusal::Refusal},
    routing::Route,
    upstream::request::hosted::{Hosted, Need},
};

impl Proxy {
    /// Of a plan the targets that have a price for all that is asked for.
    ///
    /// # Errors
    /// [`ProxyError::UnpricedNeed`] when none has, unless what has no price may be recorded so; [`Refusal::ModelNotAllowed`]
    /// for another model that is none of the key's at the target.
    pub(crate) fn for_hosted(
        &self,
        hosted: &Hosted,
        key: &KeyState,
        route: &Route,
        mut plan: Vec<PlannedTarget>,
        at_us: i64,
    ) -> Result<Vec<PlannedTarget>, ProxyError> {
        for need in hosted.needs.iter().filter(|_| self.settings.refuse_unpriced) {
            plan.retain(|planned| planned.prices.prices(need));
            if plan.is_empty() {
                return Err(unpriced(need, route));
            }
        }
        for model in &hosted.models {
            plan.retain(|planned| self.may_call(model, key, route, planned, at_us));
            if plan.is_empty() {
                return Err(Refusal::ModelNotAllowed(model.clone()).into());
            }
        }
        Ok(plan)
    }

    /// Whether a target may call another of its provider's models: one of the key's public models is it, and it has a price.
    fn may_call(&self, model: &str, key: &KeyState, route: &Route, planned: &PlannedTarget, at_us: i64) -> bool {
        let Some(provider) = route.targets.get(planned.index).map(|target| &target.provider.name) else { return false };
        let routes = self.routes.load();
        let allowed = |public: &String| key.record.models.as_ref().is_none_or(|models| models.contains(public));
        let mut of_key = routes.iter().filter(|route| allowed(&route.model)).flat_map(|route| &route.targets);
        let is_public = of_key.any(|target| target.provider.name == *provider && target.model == model);
        let has_price = planned.prices.catalog.table(provider, model, at_us).is_some();
        is_public && (has_price || !self.settings.refuse_unpriced)
    }
}

fn unpriced(need: &Need, route: &Route) -> ProxyError {
    ProxyError::UnpricedNeed {
        model: route.model.clone(),
        name: need.name.clone().into_owned(),
        field: need.field,
        unit: need.unit.name(),
    }
}
