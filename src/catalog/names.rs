//! The models of one provider by their names: exact names first, then names with holes, those with fewer holes first.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use super::{PriceVersion, glob::Glob};

/// Versions of one name; they ascend by `valid_from_us`, then by `recorded_at_us`.
type Dated = Vec<Arc<PriceVersion>>;

/// A provider's models. Names are compared whatever their case.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    /// In lower case.
    exact: HashMap<String, Dated>,
    /// Those with more characters of their own first.
    globs: Vec<(Glob, Dated)>,
}

impl Names {
    /// The version in force at a time: of those that apply by then, the one that applies from the latest time on; of those,
    /// the one that was recorded last. Another name leads to the model, and to the model's version in force: a later version
    /// need not say the other names again.
    pub(super) fn find(&self, model: &str, at_us: i64) -> Option<&Arc<PriceVersion>> {
        let found = self.by_any_name(model, at_us)?;
        let own = self.exact.get(&found.model.to_ascii_lowercase()).into_iter().flatten().rev();
        own.filter(|version| version.model == found.model)
            .find(|version| version.valid_from_us <= at_us)
            .or(Some(found))
    }

    /// The version in force of a name that is written so, without holes.
    pub(super) fn find_exact(&self, model: &str, at_us: i64) -> Option<&Arc<PriceVersion>> {
        in_force(self.exact.get(&model.to_ascii_lowercase())?, at_us)
    }

    fn by_any_name(&self, model: &str, at_us: i64) -> Option<&Arc<PriceVersion>> {
        let name = if model.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(model.to_ascii_lowercase())
        } else {
            Cow::Borrowed(model)
        };
        let exact = self.exact.get(name.as_ref()).and_then(|versions| in_force(versions, at_us));
        exact.or_else(|| {
            let fitting = self.globs.iter().filter(|(glob, _)| glob.fits(&name));
            fitting.filter_map(|(_, versions)| in_force(versions, at_us)).next()
        })
    }

    pub(super) fn insert(&mut self, version: &Arc<PriceVersion>) {
        for name in std::iter::once(&version.model).chain(&version.aliases) {
            let versions = if Glob::is_one(name) {
                self.of_glob(Glob::new(name))
            } else {
                self.exact.entry(name.to_ascii_lowercase()).or_default()
            };
            if versions.last().is_some_and(|last| Arc::ptr_eq(last, version)) {
                continue;
            }
            let before = |other: &Arc<PriceVersion>| {
                (other.valid_from_us, other.recorded_at_us) <= (version.valid_from_us, version.recorded_at_us)
            };
            let at = versions.partition_point(before);
            versions.insert(at, Arc::clone(version));
        }
    }

    /// Every version, some of them several times.
    pub(super) fn versions(&self) -> impl Iterator<Item = &Arc<PriceVersion>> {
        self.exact.values().chain(self.globs.iter().map(|(_, versions)| versions)).flatten()
    }

    fn of_glob(&mut self, glob: Glob) -> &mut Dated {
        let at = self.globs.iter().position(|(own, _)| *own == glob);
        let at = at.unwrap_or_else(|| {
            let order = |own: &Glob| (usize::MAX - own.literals(), own.clone());
            let at = self.globs.partition_point(|(own, _)| order(own) < order(&glob));
            self.globs.insert(at, (glob, Dated::new()));
            at
        });
        &mut self.globs[at].1
    }
}

fn in_force(versions: &Dated, at_us: i64) -> Option<&Arc<PriceVersion>> {
    versions.iter().rev().find(|version| version.valid_from_us <= at_us)
}
