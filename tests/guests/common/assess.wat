;; No answer.
(func (export "resource-broker:plugin/migration-template@0.1.0#assess") (param i32) (result i32) unreachable)
