//! GELU by its tanh approximation, in one pass: `x / (1 + exp(-2u))` with `u = sqrt(2/pi) (x + 0.044715 x^3)`, which is
//! `x (1 + tanh u) / 2` with one exponential instead of a hyperbolic tangent.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

/// Twice the root of 2/pi.
const TWICE_ROOT: f32 = 1.595_769;
const CUBIC: f32 = 0.044_715;

struct GeluTanh;

/// Element by element.
pub(super) fn gelu_tanh(values: &Tensor) -> Result<Tensor> {
    values.contiguous()?.apply_op1_no_bwd(&GeluTanh)
}

impl CustomOp1 for GeluTanh {
    fn name(&self) -> &'static str {
        "gelu-tanh"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let values = storage.as_slice::<f32>()?;
        let Some((from, to)) = layout.contiguous_offsets() else {
            candle_core::bail!("gelu-tanh wants contiguous values")
        };
        let values = values.get(from..to).unwrap_or_default();
        let activated = values.iter().map(|x| x / (1.0 + (-TWICE_ROOT * (x + CUBIC * x * x * x)).exp()));
        Ok((CpuStorage::F32(activated.collect()), layout.shape().clone()))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn it_is_the_tanh_form_to_rounding_also_far_out() {
        let values: Vec<f32> = (-400..=400).map(|step: i16| f32::from(step) / 20.0).chain([-1e30, 1e30, 0.0]).collect();
        let ours = gelu_tanh(&Tensor::new(values.as_slice(), &Device::Cpu).unwrap()).unwrap().to_vec1::<f32>().unwrap();
        for (x, ours) in values.iter().map(|x| f64::from(*x)).zip(ours) {
            let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
            let expected = 0.5 * x * (1.0 + u.tanh());
            assert!((f64::from(ours) - expected).abs() <= 1e-6 * expected.abs().max(1.0), "{x}: {ours} {expected}");
        }
    }
}
