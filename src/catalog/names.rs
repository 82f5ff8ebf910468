//! The models of one provider by their names: exact names first, then names with holes, those with fewer holes first.

mod index;

use std::{
    borrow::Cow,
    sync::{Arc, OnceLock},
};

use self::index::Index;
use super::{ByName, PriceVersion, glob::Glob};

/// Versions of one name; they ascend by `valid_from_us`, then by `recorded_at_us`.
type Dated = Vec<Named>;

/// A version under one of its names.
#[derive(Clone, Debug)]
struct Named {
    version: Arc<PriceVersion>,
    /// Position of the versions of its model.
    model: usize,
}

/// A provider's models. Names are compared whatever their case.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    /// In lower case.
    exact: ByName<Dated>,
    /// Those with more characters of their own first.
    globs: Vec<(Glob, Dated)>,
    /// Over `globs`, made when it is first asked for.
    index: OnceLock<Index>,
    /// All versions of each model, ascending as above.
    models: Vec<Vec<Arc<PriceVersion>>>,
    model_positions: ByName<usize>,
}

impl Names {
    /// The version in force at a time: of those that apply by then, the one that applies from the latest time on; of those,
    /// the one that was recorded last. Another name leads to the model, and to the model's version in force: a later version
    /// need not say the other names again.
    pub(super) fn find(&self, model: &str, at_us: i64) -> Option<&Arc<PriceVersion>> {
        let found = self.by_any_name(model, at_us)?;
        let own = self.models.get(found.model).into_iter().flatten().rev();
        own.into_iter().find(|version| version.valid_from_us <= at_us).or(Some(&found.version))
    }

    /// The version in force of a name that is written so, without holes.
    pub(super) fn find_exact(&self, model: &str, at_us: i64) -> Option<&Arc<PriceVersion>> {
        in_force(self.exact.get(&model.to_ascii_lowercase())?, at_us).map(|named| &named.version)
    }

    fn by_any_name(&self, model: &str, at_us: i64) -> Option<&Named> {
        // All of it is looked at, wherever the first is found: many bytes at once.
        let name = if model.bytes().fold(false, |any, byte| any | byte.is_ascii_uppercase()) {
            Cow::Owned(model.to_ascii_lowercase())
        } else {
            Cow::Borrowed(model)
        };
        let exact = self.exact.get(name.as_ref()).and_then(|versions| in_force(versions, at_us));
        exact.or_else(|| {
            let index = self.index.get_or_init(|| Index::of(self.globs.iter().map(|(glob, _)| glob)));
            index.first(&name, |at| in_force(&self.globs.get(at)?.1, at_us))
        })
    }

    pub(super) fn insert(&mut self, version: &Arc<PriceVersion>) {
        let model = *self.model_positions.entry(version.model.clone()).or_insert_with(|| {
            self.models.push(Vec::new());
            self.models.len() - 1
        });
        let before = |other: &Arc<PriceVersion>| {
            (other.valid_from_us, other.recorded_at_us) <= (version.valid_from_us, version.recorded_at_us)
        };
        if let Some(versions) = self.models.get_mut(model) {
            let at = versions.partition_point(before);
            versions.insert(at, Arc::clone(version));
        }
        self.index = OnceLock::new();
        for name in std::iter::once(&version.model).chain(&version.aliases) {
            let versions = if Glob::is_one(name) {
                self.of_glob(Glob::new(name))
            } else {
                self.exact.entry(name.to_ascii_lowercase()).or_default()
            };
            if versions.iter().any(|named| Arc::ptr_eq(&named.version, version)) {
                continue;
            }
            let at = versions.partition_point(|named| before(&named.version));
            versions.insert(at, Named { version: Arc::clone(version), model });
        }
    }

    /// Every version, some of them several times.
    pub(super) fn versions(&self) -> impl Iterator<Item = &Arc<PriceVersion>> {
        self.models.iter().flatten()
    }

    fn of_glob(&mut self, glob: Glob) -> &mut Dated {
        let order = |own: &Glob| (usize::MAX - own.literals(), own.clone());
        let at = match self.globs.binary_search_by_key(&order(&glob), |(own, _)| order(own)) {
            Ok(at) => at,
            Err(at) => {
                self.globs.insert(at, (glob, Dated::new()));
                at
            }
        };
        &mut self.globs[at].1
    }
}

fn in_force(versions: &Dated, at_us: i64) -> Option<&Named> {
    versions.iter().rev().find(|named| named.version.valid_from_us <= at_us)
}
