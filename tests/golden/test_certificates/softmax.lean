import Mathlib.Tactic.LinearCombination
import Mathlib.Data.Real.Basic

/-! The equations of softmax, written by refold from proof 0000000000000000.

Each theorem is one case of one obligation; its hypotheses are the premises that the case uses. That the
cases are complete, and what the solvers were asked, is in the proof file. -/

/-- correction l: exp(x - m′) = exp(m - m′)·exp(x - m) (E_x is exp(x); E_m1 is exp(m₁)) -/
theorem correction_l_1 (E_x E_m1 : ℝ) :
    E_x * E_m1 = E_x * E_m1 := by
  ring

/-- correction l: identity: T(r, r) = 1 (E_m1 is exp(m₁)) -/
theorem correction_l_identity_1 (E_m1 : ℝ) :
    E_m1 = E_m1 := by
  ring

/-- correction l: composition: T(r′, r″)·T(r, r′) = T(r, r″) (E_m1 is exp(m₁); E_m2 is exp(m₂)) -/
theorem correction_l_composition_1 (E_m1 E_m2 : ℝ) :
    E_m1 * E_m2 = E_m1 * E_m2 := by
  ring

/-- unit l: merge(unit, l) = l = merge(l, unit), unit 0 (l1 is l₁; E_m1 is exp(m₁)) -/
theorem unit_l_1 (l1 E_m1 : ℝ)
    (h1 : E_m1 = 0)
    (h2 : 0 = l1) :
    l1 * E_m1 = l1 := by
  linear_combination (l1) * h1 + (1) * h2

/-- unit l: merge(unit, l) = l = merge(l, unit), unit 0 (l1 is l₁; E_m1 is exp(m₁)) -/
theorem unit_l_2 (l1 E_m1 : ℝ) :
    l1 * E_m1 = l1 * E_m1 := by
  ring

/-- merge l: associative: (x ⊕ y) ⊕ z = x ⊕ (y ⊕ z) in l (l1 is l₁; E_m1 is exp(m₁); l2 is l₂; E_m2 is exp(m₂); l3 is l₃; E_m3 is exp(m₃)) -/
theorem merge_l_associative_1 (l1 E_m1 l2 E_m2 l3 E_m3 : ℝ)
    (h1 : E_m1 = 0)
    (h2 : E_m2 = 0)
    (h3 : E_m3 = 0) :
    (l1 * E_m1 + l2 * E_m2) * E_m1 + l3 * E_m3 = (l2 * E_m2 + l3 * E_m3) * E_m2 + l1 * E_m1 := by
  linear_combination (E_m1*l1 + E_m2*l2 - l1) * h1 + (-E_m2*l2 - E_m3*l3) * h2 + (l3) * h3

/-- merge l: associative: (x ⊕ y) ⊕ z = x ⊕ (y ⊕ z) in l (l1 is l₁; E_m1 is exp(m₁); l2 is l₂; E_m2 is exp(m₂); l3 is l₃; E_m3 is exp(m₃)) -/
theorem merge_l_associative_2 (l1 E_m1 l2 E_m2 l3 E_m3 : ℝ)
    (h1 : E_m1 = 0)
    (h2 : E_m2 = 0) :
    ((l1 * E_m1 + l2 * E_m2) * E_m1 + l3 * E_m3) * E_m3 = (l2 * E_m2 + l3 * E_m3) * E_m3 + l1 * E_m1 * E_m3 := by
  linear_combination (E_m1*l1*E_m3 + E_m2*l2*E_m3 - l1*E_m3) * h1 + (-l2*E_m3) * h2

/-- merge l: associative: (x ⊕ y) ⊕ z = x ⊕ (y ⊕ z) in l (l1 is l₁; E_m1 is exp(m₁); l2 is l₂; E_m2 is exp(m₂); l3 is l₃; E_m3 is exp(m₃)) -/
theorem merge_l_associative_3 (l1 E_m1 l2 E_m2 l3 E_m3 : ℝ)
    (h1 : E_m2 = 0)
    (h2 : E_m3 = 0) :
    (l1 * E_m1 + l2 * E_m2) * E_m1 + l3 * E_m3 * E_m1 = ((l2 * E_m2 + l3 * E_m3) * E_m2 + l1 * E_m1) * E_m1 := by
  linear_combination (-E_m2*E_m1*l2 - E_m3*E_m1*l3 + E_m1*l2) * h1 + (E_m1*l3) * h2

/-- merge l: associative: (x ⊕ y) ⊕ z = x ⊕ (y ⊕ z) in l (l1 is l₁; E_m1 is exp(m₁); l2 is l₂; E_m2 is exp(m₂); l3 is l₃; E_m3 is exp(m₃)) -/
theorem merge_l_associative_4 (l1 E_m1 l2 E_m2 l3 E_m3 : ℝ) :
    ((l1 * E_m1 + l2 * E_m2) * E_m1 + l3 * E_m3 * E_m1) * E_m2 = ((l2 * E_m2 + l3 * E_m3) * E_m2 + l1 * E_m1 * E_m2) * E_m1 := by
  ring

/-- merge l: associative: (x ⊕ y) ⊕ z = x ⊕ (y ⊕ z) in l (l1 is l₁; E_m1 is exp(m₁); l2 is l₂; E_m2 is exp(m₂); l3 is l₃; E_m3 is exp(m₃)) -/
theorem merge_l_associative_5 (l1 E_m1 l2 E_m2 l3 E_m3 : ℝ) :
    ((l1 * E_m1 + l2 * E_m2) * E_m1 + l3 * E_m3 * E_m1) * E_m3 = ((l2 * E_m2 + l3 * E_m3) * E_m3 + l1 * E_m1 * E_m3) * E_m1 := by
  ring

/-- merge l: associative: (x ⊕ y) ⊕ z = x ⊕ (y ⊕ z) in l (l1 is l₁; E_m1 is exp(m₁); l2 is l₂; E_m2 is exp(m₂); l3 is l₃; E_m3 is exp(m₃)) -/
theorem merge_l_associative_6 (l1 E_m1 l2 E_m2 l3 E_m3 : ℝ) :
    (l1 * E_m1 + l2 * E_m2) * E_m2 + l3 * E_m3 * E_m2 = (l2 * E_m2 + l3 * E_m3) * E_m2 + l1 * E_m1 * E_m2 := by
  ring

/-- merge l: associative: (x ⊕ y) ⊕ z = x ⊕ (y ⊕ z) in l (l1 is l₁; E_m1 is exp(m₁); l2 is l₂; E_m2 is exp(m₂); l3 is l₃; E_m3 is exp(m₃)) -/
theorem merge_l_associative_7 (l1 E_m1 l2 E_m2 l3 E_m3 : ℝ) :
    ((l1 * E_m1 + l2 * E_m2) * E_m2 + l3 * E_m3 * E_m2) * E_m3 = ((l2 * E_m2 + l3 * E_m3) * E_m3 + l1 * E_m1 * E_m3) * E_m2 := by
  ring

/-- reading 2: Σ_j exp(x - m) = l (E_x_i_j is exp(x[i,j])) -/
theorem reading_2_1 (E_x_i_j : ℝ) :
    E_x_i_j = E_x_i_j := by
  ring
