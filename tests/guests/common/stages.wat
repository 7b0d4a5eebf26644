;; No answer.
(func (export "resource-broker:plugin/migration-template@0.2.0#stages") (param i32) (result i32) unreachable)
