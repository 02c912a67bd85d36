// swift-format-ignore-file
/// The description of the API in OpenAPI 3.1, served as `/openapi.json`.
///
/// As a text and not as an embedded resource: a compiler takes minutes over a resource of this length.
enum OpenAPIDocument {
  static let text = #"""
{
  "openapi": "3.1.0",
  "info": {
    "title": "CASA runtime",
    "version": "0.1.0",
    "summary": "Issues tokens to AI agents and decides about their tool calls.",
    "description": "An OAuth 2.0 authorization server (RFC 6749) that decides, for every tool call of an AI agent, whether the call serves what the user asked for.\n\n**Tokens.** A client app brings the user's input and gets a *user-input token* (T1). Agents exchange a T1 (RFC 8693) for another app's T1, for an *llm-access token* (T2), and for a *call-tools token* (T3), which is good for exactly one call and is spent at the MCP server.\n\n**Errors.** OAuth endpoints answer as RFC 6749 section 5.2 says, with a stable `reason` and a `decision_id` where checks decided. All others answer problem details (RFC 9457).\n\n**Limits.** A body has at most 524288 bytes, one of reports at most 2097152; it is UTF-8 and arrives within 15 seconds; headers arrive within 10 seconds. JSON is strict: no duplicate members, no byte order mark, no NaN, no number beyond what every reader takes alike (whole ones within 2^53 - 1), at most 64 levels deep, at most 100000 values. Unknown members of an object are ignored, and so are unknown parameters of a query; a parameter of a query needs a value. An answer that comes before the whole request has arrived ends the connection. HEAD is answered where GET is."
  },
  "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
  "servers": [
    {
      "url": "/",
      "description": "This runtime."
    }
  ],
  "tags": [
    {
      "name": "OAuth",
      "description": "What clients and the parts that act for them call."
    },
    {
      "name": "Systems",
      "description": "Multi-agent systems, the unit of tenancy."
    },
    {
      "name": "Apps",
      "description": "Workloads of a MAS, which are OAuth clients."
    },
    {
      "name": "Tools",
      "description": "Tools of MCP servers and their approval."
    },
    {
      "name": "Nodes",
      "description": "Machines whose node guards report flows."
    },
    {
      "name": "Readers",
      "description": "Who may read traces."
    },
    {
      "name": "Keys",
      "description": "The runtime's signing keys."
    },
    {
      "name": "Traces",
      "description": "User inputs and the record of what was decided and seen."
    },
    {
      "name": "Operation",
      "description": "Health, metrics and this description."
    }
  ],
  "paths": {
    "/oauth/token": {
      "post": {
        "operationId": "requestToken",
        "tags": [
          "OAuth"
        ],
        "summary": "Get or exchange a token",
        "description": "The token endpoint (RFC 6749 section 3.2) with three grants: `client_credentials` with a user's input gives a T1 (and without one, for `discover-tools`, a token that opens connections and lists what is offered), token exchange (RFC 8693) narrows a T1, and `urn:casa:params:oauth:grant-type:delivered-session` gives a delivered session's token again. Unknown parameters are ignored, a parameter without a value counts as not sent (as in all forms here), a repeated one is refused.",
        "security": [
          {
            "clientBasic": []
          },
          {}
        ],
        "requestBody": {
          "required": true,
          "content": {
            "application/x-www-form-urlencoded": {
              "schema": {
                "$ref": "#/components/schemas/TokenRequest"
              },
              "examples": {
                "issue": {
                  "summary": "A T1 for what a user asked",
                  "value": {
                    "grant_type": "client_credentials",
                    "user_input": "Please send 12.50 euros to Carla for dinner.",
                    "audience": "assistant"
                  }
                },
                "callee": {
                  "summary": "A T1 for the next app",
                  "value": {
                    "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
                    "subject_token": "eyJ...",
                    "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
                    "scope": "user-input",
                    "audience": "planner"
                  }
                },
                "llm": {
                  "summary": "A T2 to ask the LLM",
                  "value": {
                    "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
                    "subject_token": "eyJ...",
                    "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
                    "scope": "llm-access"
                  }
                },
                "call": {
                  "summary": "A T3 for one tool call",
                  "value": {
                    "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
                    "subject_token": "eyJ...",
                    "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
                    "scope": "call-tools",
                    "authorization_details": "[{\"type\":\"mcp_tool_call\",\"server\":\"bank\",\"tool\":\"get_account_summary\",\"arguments\":{}}]"
                  }
                }
              }
            }
          }
        },
        "responses": {
          "200": {
            "description": "The token.",
            "headers": {
              "Cache-Control": {
                "$ref": "#/components/headers/Cache-Control"
              },
              "Pragma": {
                "$ref": "#/components/headers/Pragma"
              }
            },
            "content": {
              "application/json": {
                "schema": {
                  "$ref": "#/components/schemas/TokenResponse"
                },
                "example": {
                  "access_token": "eyJhbGciOiJFUzI1NiIsImtpZCI6ImtleV8xIiwidHlwIjoiYXQrand0In0.e30.c2ln",
                  "token_type": "Bearer",
                  "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
                  "expires_in": 300,
                  "scope": "user-input",
                  "user_input_id": "inp_9c3a51e07d2b4f68a1b2c3d4e5f60789",
                  "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"
                }
              }
            }
          },
          "400": {
            "$ref": "#/components/responses/OAuthBadRequest"
          },
          "401": {
            "$ref": "#/components/responses/OAuthUnauthenticated"
          },
          "403": {
            "$ref": "#/components/responses/OAuthAccessDenied"
          },
          "405": {
            "$ref": "#/components/responses/MethodNotAllowed"
          },
          "408": {
            "$ref": "#/components/responses/OAuthTimeout"
          },
          "413": {
            "$ref": "#/components/responses/OAuthContentTooLarge"
          },
          "415": {
            "$ref": "#/components/responses/OAuthUnsupportedMediaType"
          },
          "500": {
            "$ref": "#/components/responses/OAuthServerError"
          },
          "503": {
            "$ref": "#/components/responses/OAuthUnavailable"
          }
        }
      }
    },
    "/oauth/token/exchange": {
      "post": {
        "operationId": "exchangeToken",
        "tags": [
          "OAuth"
        ],
        "summary": "Exchange a token",
        "description": "The token-exchange grant alone (RFC 8693).",
        "security": [
          {
            "clientBasic": []
          },
          {}
        ],
        "requestBody": {
          "required": true,
          "content": {
            "application/x-www-form-urlencoded": {
              "schema": {
                "$ref": "#/components/schemas/ExchangeOnlyRequest"
              },
              "examples": {
                "callee": {
                  "summary": "A T1 for the next app",
                  "value": {
                    "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
                    "subject_token": "eyJ...",
                    "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
                    "scope": "user-input",
                    "audience": "planner"
                  }
                },
                "llm": {
                  "summary": "A T2 to ask the LLM",
                  "value": {
                    "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
                    "subject_token": "eyJ...",
                    "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
                    "scope": "llm-access"
                  }
                },
                "call": {
                  "summary": "A T3 for one tool call",
                  "value": {
                    "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
                    "subject_token": "eyJ...",
                    "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
                    "scope": "call-tools",
                    "authorization_details": "[{\"type\":\"mcp_tool_call\",\"server\":\"bank\",\"tool\":\"get_account_summary\",\"arguments\":{}}]"
                  }
                }
              }
            }
          }
        },
        "responses": {
          "200": {
            "description": "The token.",
            "headers": {
              "Cache-Control": {
                "$ref": "#/components/headers/Cache-Control"
              },
              "Pragma": {
                "$ref": "#/components/headers/Pragma"
              }
            },
            "content": {
              "application/json": {
                "schema": {
                  "$ref": "#/components/schemas/TokenResponse"
                },
                "example": {
                  "access_token": "eyJhbGciOiJFUzI1NiIsImtpZCI6ImtleV8xIiwidHlwIjoiYXQrand0In0.e30.c2ln",
                  "token_type": "Bearer",
                  "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
                  "expires_in": 300,
                  "scope": "user-input",
                  "user_input_id": "inp_9c3a51e07d2b4f68a1b2c3d4e5f60789",
                  "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"
                }
              }
            }
          },
          "400": {
            "$ref": "#/components/responses/OAuthBadRequest"
          },
          "401": {
            "$ref": "#/components/responses/OAuthUnauthenticated"
          },
          "403": {
            "$ref": "#/components/responses/OAuthAccessDenied"
          },
          "405": {
            "$ref": "#/components/responses/MethodNotAllowed"
          },
          "408": {
            "$ref": "#/components/responses/OAuthTimeout"
          },
          "413": {
            "$ref": "#/components/responses/OAuthContentTooLarge"
          },
          "415": {
            "$ref": "#/components/responses/OAuthUnsupportedMediaType"
          },
          "500": {
            "$ref": "#/components/responses/OAuthServerError"
          },
          "503": {
            "$ref": "#/components/responses/OAuthUnavailable"
          }
        }
      }
    },
    "/oauth/introspect": {
      "post": {
        "operationId": "introspectToken",
        "tags": [
          "OAuth"
        ],
        "summary": "Ask whether a token is active",
        "description": "RFC 7662. A client learns of the tokens it holds and of those addressed to it.",
        "security": [
          {
            "clientBasic": []
          },
          {}
        ],
        "requestBody": {
          "required": true,
          "content": {
            "application/x-www-form-urlencoded": {
              "schema": {
                "$ref": "#/components/schemas/TokenParameter"
              }
            }
          }
        },
        "responses": {
          "200": {
            "description": "Active with its claims, or not active.",
            "headers": {
              "Cache-Control": {
                "$ref": "#/components/headers/Cache-Control"
              },
              "Pragma": {
                "$ref": "#/components/headers/Pragma"
              }
            },
            "content": {
              "application/json": {
                "schema": {
                  "$ref": "#/components/schemas/IntrospectionResponse"
                },
                "example": {
                  "active": true,
                  "token_type": "Bearer",
                  "iss": "http://127.0.0.1:8700",
                  "sub": "app_0b7e4c1d92f84a55b3c6d7e8f9012345",
                  "client_id": "app_0b7e4c1d92f84a55b3c6d7e8f9012345",
                  "aud": "urn:casa:mas:mas_5f1d0c9a7be24e3b8a61c2d4e5f60718",
                  "iat": 1795521600,
                  "nbf": 1795521600,
                  "exp": 1795521900,
                  "jti": "tok_7d1e2f3a4b5c6d7e8f90a1b2c3d4e5f6",
                  "scope": "llm-access",
                  "mas_id": "mas_5f1d0c9a7be24e3b8a61c2d4e5f60718",
                  "tools": [],
                  "user_input_id": "inp_9c3a51e07d2b4f68a1b2c3d4e5f60789",
                  "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
                  "act": {
                    "sub": "app_0b7e4c1d92f84a55b3c6d7e8f9012345"
                  }
                }
              }
            }
          },
          "400": {
            "$ref": "#/components/responses/OAuthBadRequest"
          },
          "401": {
            "$ref": "#/components/responses/OAuthUnauthenticated"
          },
          "405": {
            "$ref": "#/components/responses/MethodNotAllowed"
          },
          "408": {
            "$ref": "#/components/responses/OAuthTimeout"
          },
          "413": {
            "$ref": "#/components/responses/OAuthContentTooLarge"
          },
          "415": {
            "$ref": "#/components/responses/OAuthUnsupportedMediaType"
          },
          "503": {
            "$ref": "#/components/responses/OAuthUnavailable"
          }
        }
      }
    },
    "/oauth/spend": {
      "post": {
        "operationId": "spendToken",
        "tags": [
          "OAuth"
        ],
        "summary": "Use up a tool token",
        "description": "Called at the ingress of the MCP server a T3 is addressed to, once for each token: of all attempts one succeeds, and it uses up the LLM's selection too.",
        "security": [
          {
            "clientBasic": []
          },
          {}
        ],
        "requestBody": {
          "required": true,
          "content": {
            "application/x-www-form-urlencoded": {
              "schema": {
                "$ref": "#/components/schemas/TokenParameter"
              }
            }
          }
        },
        "responses": {
          "200": {
            "description": "Spent by this request; its claims.",
            "headers": {
              "Cache-Control": {
                "$ref": "#/components/headers/Cache-Control"
              },
              "Pragma": {
                "$ref": "#/components/headers/Pragma"
              }
            },
            "content": {
              "application/json": {
                "schema": {
                  "$ref": "#/components/schemas/ActiveToken"
                }
              }
            }
          },
          "400": {
            "$ref": "#/components/responses/OAuthBadRequest"
          },
          "401": {
            "$ref": "#/components/responses/OAuthUnauthenticated"
          },
          "403": {
            "$ref": "#/components/responses/OAuthAccessDenied"
          },
          "405": {
            "$ref": "#/components/responses/MethodNotAllowed"
          },
          "408": {
            "$ref": "#/components/responses/OAuthTimeout"
          },
          "413": {
            "$ref": "#/components/responses/OAuthContentTooLarge"
          },
          "415": {
            "$ref": "#/components/responses/OAuthUnsupportedMediaType"
          },
          "503": {
            "$ref": "#/components/responses/OAuthUnavailable"
          }
        }
      }
    },
    "/oauth/revoke": {
      "post": {
        "operationId": "revokeToken",
        "tags": [
          "OAuth"
        ],
        "summary": "Revoke a token",
        "description": "RFC 7009. Ends a token of this client and every token exchanged from it. A token that is unknown or another client's gets the same answer and is left alone.",
        "security": [
          {
            "clientBasic": []
          },
          {}
        ],
        "requestBody": {
          "required": true,
          "content": {
            "application/x-www-form-urlencoded": {
              "schema": {
                "$ref": "#/components/schemas/TokenParameter"
              }
            }
          }
        },
        "responses": {
          "200": {
            "description": "The token is not usable any more, or never was this client's.",
            "headers": {
              "Cache-Control": {
                "$ref": "#/components/headers/Cache-Control"
              },
              "Pragma": {
                "$ref": "#/components/headers/Pragma"
              }
            },
            "content": {
              "application/json": {
                "schema": {
                  "type": "object",
                  "maxProperties": 0
                },
                "example": {}
              }
            }
          },
          "400": {
            "$ref": "#/components/responses/OAuthBadRequest"
          },
          "401": {
            "$ref": "#/components/responses/OAuthUnauthenticated"
          },
          "405": {
            "$ref": "#/components/responses/MethodNotAllowed"
          },
          "408": {
            "$ref": "#/components/responses/OAuthTimeout"
          },
          "413": {
            "$ref": "#/components/responses/OAuthContentTooLarge"
          },
          "415": {
            "$ref": "#/components/responses/OAuthUnsupportedMediaType"
          },
          "503": {
            "$ref": "#/components/responses/OAuthUnavailable"
          }
        }
      }
    },
    "/oauth/revocations": {
      "get": {
        "operationId": "watchRevocations",
        "tags": [
          "OAuth"
        ],
        "summary": "Hear of revocations at once",
        "description": "In which sessions of the client's MAS something was revoked since an earlier answer. When it is nothing, the answer waits for up to 20 s. Whoever remembers that tokens are active forgets those of the named sessions, or all when `is_partial` is true.",
        "security": [
          {
            "clientBasic": []
          }
        ],
        "parameters": [
          {
            "name": "after",
            "in": "query",
            "required": false,
            "description": "The `cursor` of the answer before. Without it, or with one of another life of the runtime, the answer comes at once and is partial.",
            "schema": {
              "type": "string",
              "pattern": "^[0-9a-f]{1,16}-(0|[1-9][0-9]{0,15})$",
              "maxLength": 40
            }
          }
        ],
        "responses": {
          "200": {
            "description": "What was revoked since.",
            "headers": {
              "Cache-Control": {
                "$ref": "#/components/headers/Cache-Control"
              },
              "Pragma": {
                "$ref": "#/components/headers/Pragma"
              }
            },
            "content": {
              "application/json": {
                "schema": {
                  "$ref": "#/components/schemas/Revocations"
                },
                "example": {
                  "cursor": "5f1d0c9a7be24e3b-12",
                  "is_partial": false,
                  "user_input_ids": [
                    "inp_0b7e4c1d92f84a55b3c6d7e8f9012345"
                  ]
                }
              }
            }
          },
          "400": {
            "$ref": "#/components/responses/OAuthBadRequest"
          },
          "401": {
            "$ref": "#/components/responses/OAuthUnauthenticated"
          },
          "405": {
            "$ref": "#/components/responses/MethodNotAllowed"
          },
          "503": {
            "$ref": "#/components/responses/OAuthUnavailable"
          }
        }
      }
    },
    "/oauth/jwks": {
      "get": {
        "operationId": "getKeys",
        "tags": [
          "OAuth"
        ],
        "summary": "Get the public keys",
        "description": "A JWK set (RFC 7517): the signing key first, then retired ones whose tokens may still live.",
        "security": [],
        "responses": {
          "200": {
            "description": "The keys.",
            "headers": {
              "Cache-Control": {
                "description": "`public, max-age=60`.",
                "required": true,
                "schema": {
                  "type": "string"
                }
              }
            },
            "content": {
              "application/jwk-set+json": {
                "schema": {
                  "$ref": "#/components/schemas/JWKSet"
                },
                "example": {
                  "keys": [
                    {
                      "kty": "OKP",
                      "crv": "Ed25519",
                      "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
                      "kid": "key_1",
                      "alg": "EdDSA",
                      "use": "sig"
                    }
                  ]
                }
              }
            }
          },
          "405": {
            "$ref": "#/components/responses/MethodNotAllowed"
          }
        }
      }
    },
    "/.well-known/oauth-authorization-server": {
      "get": {
        "operationId": "getMetadata",
        "tags": [
          "OAuth"
        ],
        "summary": "Get the authorization server's metadata",
        "description": "RFC 8414.",
        "security": [],
        "responses": {
          "200": {
            "description": "The metadata.",
            "content": {
              "application/json": {
                "schema": {
                  "$ref": "#/components/schemas/Metadata"
                }
              }
            }
          },
          "405": {
            "$ref": "#/components/responses/MethodNotAllowed"
          }
        }
      }
    },
    "/mas": {
      "get": {
        "operationId": "listSystems",
        "tags": [
          "Systems"
        ],
        "summary": "List the multi-agent systems",
        "security": [
          {
            "adminBearer": []
          }
        ],
        "responses": {
          "200": {
            "description": "All of them, by name.",
            "content": {
              "application/json": {
                "schema": {
                  "$ref": "#/components/schemas/MASList"
                },
                "example": {
                  "mas": [
                    {
                      "id": "mas_5f1d0c9a7be24e3b8a61c2d4e5f60718",
                      "name": "banking",
                      "created_at": "2026-11-24T12:00:00.000Z",
                      "enabled_tool_checks": [
                        "DETERMINISTIC_LLM_SELECTED_TOOLS",
                        "DETERMINISTIC_TOOL_SELECTED"
                      ],
                      "allow_undecided": false
                    }
                  ]
                }
              }
            }
          },
          "400": {
            "$ref": "#/components/responses/BadRequest"
          },
          "401": {
            "$ref": "#/components/responses/AdminNeeded"
          },
          "405": {
            "$ref": "#/components/responses/MethodNotAllowed"
          }
        }
      },
      "post": {
        "operationId": "createSystem",
        "tags": [
          "Systems"
        ],
        "summary": "Create a multi-agent system",
        "description": "Unknown members are ignored.",
        "security": [
          {
            "adminBearer": []
          }
        ],
        "requestBody": {
          "required": true,
          "content": {
            "application/json": {
              "schema": {
                "$ref": "#/components/schemas/MASCreation"
              },
              "example": {
                "name": "banking"
              }
            }
          }
        },
        "responses": {
          "201": {
            "description": "Created.",
            "headers": {
              "Location": {
                "$ref": "#/components/headers/Location"
              }
            },
            "content": {
              "application/json": {
                "schema": {
                  "$ref": "#/components/schemas/MAS"
                },
                "example": {
                  "id": "mas_5f1d0c9a7be24e3b8a61c2d4e5f60718",
                  "name": "banking",
                  "created_at": "2026-11-24T12:00:00.000Z",
                  "enabled_tool_checks": [
                    "DETERMINISTIC_LLM_SELECTED_TOOLS",
                    "DETERMINISTIC_TOOL_SELECTED"
                  ],
                  "allow_undecided": false
                }
              }
            }
          },
          "400": {
            "$ref": "#/components/responses/BadRequest"
          },
          "401": {
            "$ref": "#/components/responses/AdminNeeded"
          },
          "405": {
            "$ref": "#/components/responses/MethodNotAllowed"
          },
          "408": {
            "$ref": "#/components/responses/RequestTimeout"
          },
          "409": {
            "$ref": "#/components/responses/Conflict"
          },
          "413": {
            "$ref": "#/components/responses/ContentTooLarge"
          },
          "415": {
            "$ref": "#/components/responses/UnsupportedMediaType"
          },
          "503": {
            "$ref": "#/components/responses/Unavailable"
          }
        }
      }
    },
    "/mas/{id}": {
      "get": {
        "operationId": "getSystem",
        "tags": [
          "Systems"
        ],
        "summary": "Get a multi-agent system",
        "security": [
          {
            "adminBearer": []
          }
        ],
        "parameters": [
          {
            "$ref": "#/components/parameters/MASID"
          }
        ],
        "responses": {
          "200": {
            "description": "The MAS.",
            "content": {
              "application/json": {
                "schema": {
                  "$ref": "#/components/schemas/MAS"
                },
                "example": {
                  "id": "mas_5f1d0c9a7be24e3b8a61c2d4e5f60718",
                  "name": "banking",
                  "created_at": "2026-11-24T12:00:00.000Z",
                  "enabled_tool_checks": [
                    "DETERMINISTIC_LLM_SELECTED_TOOLS",
                    "DETERMINISTIC_TOOL_SELECTED"
                  ],
                  "allow_undecided": false
                }
              }
            }
          },
          "400": {
            "$ref": "#/components/responses/BadRequest"
          },
          "401": {
            "$ref": "#/components/responses/AdminNeeded"
          },
          "404": {
            "$ref": "#/components/responses/NotFound"
          },
          "405": {
            "$ref": "#/components/responses/MethodNotAllowed"
          }
        }
      },
      "put": {
        "operationId": "changeSystem",
        "tags": [
          "Systems"
        ],
        "summary": "Change a multi-agent system's settings",
        "description": "Settings that are left out take their defaults. Unknown members are ignored; a name can't be changed.",
        "security": [
          {
            "adminBearer": []
          }
        ],
        "parameters": [
          {
            "$ref": "#/components/parameters/MASID"
          }
        ],
        "requestBody": {
          "required": true,
          "content": {
            "application/json": {
              "schema": {
                "$ref": "#/components/schemas/MASSettings"
              },
              "example": {
                "allow_undecided": false
              }
            }
          }
        },
        "responses": {
          "200": {
            "description": "As it is now.",
            "content": {
              "application/json": {
                "schema": {
                  "$ref": "#/components/schemas/MAS"
                },
                "example": {
                  "id": "mas_5f1d0c9a7be24e3b8a61c2d4e5f60718",
                  "name": "banking",
                  "created_at": "2026-11-24T12:00:00.000Z",
                  "enabled_tool_checks": [
                    "DETERMINISTIC_LLM_SELECTED_TOOLS",
                    "DETERMINISTIC_TOOL_SELECTED"
                  ],
                  "allow_undecided": false
                }
              }
            }
          },
          "400": {
            "$ref": "#/components/responses/BadRequest"
          },
          "401": {
            "$ref": "#/components/responses/AdminNeeded"
          },
          "404": {
            "$ref": "#/components/responses/NotFound"
          },
          "405": {
            "$ref": "#/components/responses/MethodNotAllowed"
          },
          "408": {
            "$ref": "#/components/responses/RequestTimeout"
          },
          "413": {
            "$ref": "#/components/responses/ContentTooLarge"
          },
          "415": {
            "$ref": "#/components/responses/UnsupportedMediaType"
          },
          "503": {
            "$ref": "#/components/responses/Unavailable"
          }
        }
      },
      "delete": {
        "operationId": "deleteSystem",
        "tags": [
          "Systems"
        ],
        "summary": "Delete a multi-agent system",
        "description": "It must have no apps.",
        "security": [
          {
            "adminBearer": []
          }
        ],
        "parameters": [
          {
            "$ref": "#/components/parameters/MASID"
          }
        ],
        "responses": {
          "204": {
            "description": "Deleted."
          },
          "400": {
            "$ref": "#/components/responses/BadRequest"
          },
          "401": {
            "$ref": "#/components/responses/AdminNeeded"
          },
          "404": {
            "$ref": "#/components/responses/NotFound"
          },
          "405": {
            "$ref": "#/components/responses/MethodNotAllowed"
          },
          "409": {
            "$ref": "#/components/responses/Conflict"
          },
          "503": {
            "$ref": "#/components/responses/Unavailable"
          }
        }
      }
    },
    "/apps": {
      "get": {
        "operationId": "listApps",
        "tags": [
          "Apps"
        ],
        "summary": "List apps",
        "security": [
          {
            "adminBearer": []
          }
        ],
        "parameters": [
          {
            "name": "mas_id",
            "in": "query",
            "description": "Only the apps of this MAS.",
            "schema": {
              "type": "string",
              "pattern": "^[A-Za-z0-9_.-]{1,128}$"
            },
            "example": "mas_5f1d0c9a7be24e3b8a61c2d4e5f60718"
          }
        ],
        "responses": {
          "200": {
            "description": "The apps, by MAS and name.",
            "content": {
              "application/json": {
                "schema": {
                  "$ref": "#/components/schemas/AppList"
                },
                "example": {
                  "apps": [
                    {
                      "id": "app_0b7e4c1d92f84a55b3c6d7e8f9012345",
                      "client_id": "app_0b7e4c1d92f84a55b3c6d7e8f9012345",
                      "mas_id": "mas_5f1d0c9a7be24e3b8a61c2d4e5f60718",
                      "name": "assistant",
                      "kind": "agent",
                      "created_at": "2026-11-24T12:00:00.000Z",
                      "token_endpoint_auth_methods": [
                        "client_secret_basic",
                        "client_secret_post"
                      ],
                      "base_url": null,
                      "prompt_json_path": null,
                      "allowed_methods": []
                    }
                  ]
                }
              }
            }
          },
          "400": {
            "$ref": "#/components/responses/BadRequest"
          },
          "401": {
            "$ref": "#/components/responses/AdminNeeded"
          },
          "405": {
            "$ref": "#/components/responses/MethodNotAllowed"
          }
        }
      },
      "post": {
        "operationId": "createApp",
        "tags": [
          "Apps"
        ],
        "summary": "Register an app",
        "description": "Without `jwks` the app gets a client secret, which is shown this once. Unknown members are ignored.",
        "security": [
          {
            "adminBearer": []
          }
        ],
        "requestBody": {
          "required": true,
          "content": {
            "application/json": {
              "schema": {
                "$ref": "#/components/schemas/AppCreation"
              },
              "example": {
                "mas_id": "mas_5f1d0c9a7be24e3b8a61c2d4e5f60718",
                "name": "bank",
                "kind": "mcp_server",
                "base_url": "http://127.0.0.1:9000/mcp"
              }
            }
          }
        },
        "responses": {
          "201": {
            "description": "Registered.",
            "headers": {
              "Location": {
                "$ref": "#/components/headers/Location"
              },
              "Cache-Control": {
                "$ref": "#/components/headers/Cache-Control"
              },
              "Pragma": {
                "$ref": "#/components/headers/Pragma"
              }
            },
            "content": {
              "application/json": {
                "schema": {
                  "$ref": "#/components/schemas/AppWithSecret"
                },
                "example": {
                  "id": "app_0b7e4c1d92f84a55b3c6d7e8f9012345",
                  "client_id": "app_0b7e4c1d92f84a55b3c6d7e8f9012345",
                  "mas_id": "mas_5f1d0c9a7be24e3b8a61c2d4e5f60718",
                  "name": "assistant",
                  "kind": "agent",
                  "created_at": "2026-11-24T12:00:00.000Z",
                  "token_endpoint_auth_methods": [
                    "client_secret_basic",
                    "client_secret_post"
                  ],
                  "base_url": null,
                  "prompt_json_path": null,
                  "client_secret": "cs_EXAMPLE",
                  "allowed_methods": []
                }
              }
            }
          },
          "400": {
            "$ref": "#/components/responses/BadRequest"
          },
          "401": {
            "$ref": "#/components/responses/AdminNeeded"
          },
          "404": {
            "$ref": "#/components/responses/NotFound"
          },
          "405": {
            "$ref": "#/components/responses/MethodNotAllowed"
          },
          "408": {
            "$ref": "#/components/responses/RequestTimeout"
          },
          "409": {
            "$ref": "#/components/responses/Conflict"
          },
          "413": {
            "$ref": "#/components/responses/ContentTooLarge"
          },
          "415": {
            "$ref": "#/components/responses/UnsupportedMediaType"
          },
          "503": {
            "$ref": "#/components/responses/Unavailable"
          }
        }
      }
    },
    "/apps/self": {
      "get": {
        "operationId": "getSelf",
        "tags": [
          "Apps"
        ],
        "summary": "Tell an app who it is",
        "description": "For the app itself, or the part that acts for it: the app and the other apps of its MAS.",
        "security": [
          {
            "clientBasic": []
          }
        ],
        "responses": {
          "200": {
            "description": "The app and its peers.",
            "headers": {
              "Cache-Control": {
                "$ref": "#/components/headers/Cache-Control"
              },
              "Pragma": {
                "$ref": "#/components/headers/Pragma"
              }
            },
            "content": {
              "application/json": {
                "schema": {
                  "$ref": "#/components/schemas/SelfDescription"
                },
                "example": {
                  "id": "app_0b7e4c1d92f84a55b3c6d7e8f9012345",
                  "client_id": "app_0b7e4c1d92f84a55b3c6d7e8f9012345",
                  "mas_id": "mas_5f1d0c9a7be24e3b8a61c2d4e5f60718",
                  "name": "assistant",
                  "kind": "agent",
                  "created_at": "2026-11-24T12:00:00.000Z",
                  "token_endpoint_auth_methods": [
                    "client_secret_basic",
                    "client_secret_post"
                  ],
                  "base_url": null,
                  "prompt_json_path": null,
                  "peers": [],
                  "allowed_methods": []
                }
              }
            }
          },
          "400": {
            "$ref": "#/components/responses/OAuthBadRequest"
          },
          "401": {
            "$ref": "#/components/responses/OAuthUnauthenticated"
          },
          "405": {
            "$ref": "#/components/responses/MethodNotAllowed"
          },
          "503": {
            "$ref": "#/components/responses/OAuthUnavailable"
          }
        }
      }
    },
    "/apps/{id}": {
      "get": {
        "operationId": "getApp",
        "tags": [
          "Apps"
        ],
        "summary": "Get an app",
        "security": [
          {
            "adminBearer": []
          }
        ],
        "parameters": [
          {
            "$ref": "#/components/parameters/AppID"
          }
        ],
        "responses": {
          "200": {
            "description": "The app.",
            "content": {
              "application/json": {
                "schema": {
                  "$ref": "#/components/schemas/App"
                },
                "example": {
                  "id": "app_0b7e4c1d92f84a55b3c6d7e8f9012345",
                  "client_id": "app_0b7e4c1d92f84a55b3c6d7e8f9012345",
                  "mas_id": "mas_5f1d0c9a7be24e3b8a61c2d4e5f60718",
                  "name": "assistant",
                  "kind": "agent",
                  "created_at": "2026-11-24T12:00:00.000Z",
                  "token_endpoint_auth_methods": [
                    "client_secret_basic",
                    "client_secret_post"
                  ],
                  "base_url": null,
                  "prompt_json_path": null,
                  "allowed_methods": []
                }
              }
            }
          },
          "400": {
            "$ref": "#/components/responses/BadRequest"
          },
          "401": {
            "$ref": "#/components/responses/AdminNeeded"
          },
          "404": {
            "$ref": "#/components/responses/NotFound"
          },
          "405": {
            "$ref": "#/components/responses/MethodNotAllowed"
          }
        }
      },
      "put": {
        "operationId": "changeApp",
        "tags": [
          "Apps"
        ],
        "summary": "Change an app's settings",
        "description": "Settings that are left out are cleared, except `jwks`. Unknown members are ignored; MAS, name and kind can't be changed.",
        "security": [
          {
            "adminBearer": []
          }
        ],
        "parameters": [
          {
            "$ref": "#/components/parameters/AppID"
          }
        ],
        "requestBody": {
          "required": true,
          "content": {
            "application/json": {
              "schema": {
                "$ref": "#/components/schemas/AppSettings"
              },
              "example": {
                "base_url": "http://127.0.0.1:9000/mcp"
              }
            }
          }
        },
        "responses": {
          "200": {
            "description": "As it is now.",
            "content": {
              "application/json": {
                "schema": {
                  "$ref": "#/components/schemas/App"
                },
                "example": {
                  "id": "app_0b7e4c1d92f84a55b3c6d7e8f9012345",
                  "client_id": "app_0b7e4c1d92f84a55b3c6d7e8f9012345",
                  "mas_id": "mas_5f1d0c9a7be24e3b8a61c2d4e5f60718",
                  "name": "assistant",
                  "kind": "agent",
                  "created_at": "2026-11-24T12:00:00.000Z",
                  "token_endpoint_auth_methods": [
                    "client_secret_basic",
                    "client_secret_post"
                  ],
                  "base_url": null,
                  "prompt_json_path": null,
                  "allowed_methods": []
                }
              }
            }
          },
          "400": {
            "$ref": "#/components/responses/BadRequest"
          },
          "401": {
            "$ref": "#/components/responses/AdminNeeded"
          },
          "404": {
            "$ref": "#/components/responses/NotFound"
          },
          "405": {
            "$ref": "#/components/responses/MethodNotAllowed"
          },
          "408": {
            "$ref": "#/components/responses/RequestTimeout"
          },
          "413": {
            "$ref": "#/components/responses/ContentTooLarge"
          },
          "415": {
            "$ref": "#/components/responses/UnsupportedMediaType"
          },
          "503": {
            "$ref": "#/components/responses/Unavailable"
          }
        }
      },
      "delete": {
        "operationId": "deleteApp",
        "tags": [
          "Apps"
        ],
        "summary": "Delete an app",
        "description": "Its tokens end with it.",
        "security": [
          {
            "adminBearer": []
          }
        ],
        "parameters": [
          {
            "$ref": "#/components/parameters/AppID"
          }
        ],
        "responses": {
          "204": {
            "description": "Deleted."
          },
          "400": {
            "$ref": "#/components/responses/BadRequest"
          },
          "401": {
            "$ref": "#/components/responses/AdminNeeded"
          },
          "404": {
            "$ref": "#/components/responses/NotFound"
          },
          "405": {
            "$ref": "#/components/responses/MethodNotAllowed"
          },
          "503": {
            "$ref": "#/components/responses/Unavailable"
          }
        }
      }
    },
    "/apps/{id}/secret": {
      "post": {
        "operationId": "rotateSecret",
        "tags": [
          "Apps"
        ],
        "summary": "Replace an app's secret",
        "description": "The secret before is refused from then on. Takes no body.",
        "security": [
          {
            "adminBearer": []
          }
        ],
        "parameters": [
          {
            "$ref": "#/components/parameters/AppID"
          }
        ],
        "responses": {
          "200": {
            "description": "The app with its new secret, shown this once.",
            "headers": {
              "Cache-Control": {
                "$ref": "#/components/headers/Cache-Control"
              },
              "Pragma": {
                "$ref": "#/components/headers/Pragma"
              }
            },
            "content": {
              "application/json": {
                "schema": {
                  "$ref": "#/components/schemas/AppWithSecret"
                },
                "example": {
                  "id": "app_0b7e4c1d92f84a55b3c6d7e8f9012345",
                  "client_id": "app_0b7e4c1d92f84a55b3c6d7e8f9012345",
                  "mas_id": "mas_5f1d0c9a7be24e3b8a61c2d4e5f60718",
                  "name": "assistant",
                  "kind": "agent",
                  "created_at": "2026-11-24T12:00:00.000Z",
                  "token_endpoint_auth_methods": [
                    "client_secret_basic",
                    "client_secret_post"
                  ],
                  "base_url": null,
                  "prompt_json_path": null,
                  "client_secret": "cs_EXAMPLE",
                  "allowed_methods": []
                }
              }
            }
          },
          "400": {
            "$ref": "#/components/responses/BadRequest"
          },
          "401": {
            "$ref": "#/components/responses/AdminNeeded"
          },
          "404": {
            "$ref": "#/components/responses/NotFound"
          },
          "405": {
            "$ref": "#/components/responses/MethodNotAllowed"
          },
          "503": {
            "$ref": "#/components/responses/Unavailable"
          }
        }
      }
    },
    "/apps/{id}/tools": {
      "get": {
        "operationId": "listTools",
        "tags": [
          "Tools"
        ],
        "summary": "List a server's tools",
        "description": "What the runtime last saw the server list, and what is approved. Another kind of app has none.",
        "security": [
          {
            "adminBearer": []
          }
        ],
        "parameters": [
          {
            "$ref": "#/components/parameters/AppID"
          }
        ],
        "responses": {
          "200": {
            "description": "The tools, by name.",
            "content": {
              "application/json": {
                "schema": {
                  "$ref": "#/components/schemas/ToolList"
                }
              }
            }
          },
          "400": {
            "$ref": "#/components/responses/BadRequest"
          },
          "401": {
            "$ref": "#/components/responses/AdminNeeded"
          },
          "404": {
            "$ref": "#/components/responses/NotFound"
          },
          "405": {
            "$ref": "#/components/responses/MethodNotAllowed"
          }
        }
      }
    },
    "/apps/{id}/tools/discover": {
      "post": {
        "operationId": "discoverTools",
        "tags": [
          "Tools"
        ],
        "summary": "Ask a server for its tools now",
        "description": "The first listing of a server is approved as it is; what changes or comes later has to be approved. Takes no body.",
        "security": [
          {
            "adminBearer": []
          }
        ],
        "parameters": [
          {
            "$ref": "#/components/parameters/AppID"
          }
        ],
        "responses": {
          "200": {
            "description": "The tools after it.",
            "content": {
              "application/json": {
                "schema": {
                  "$ref": "#/components/schemas/ToolList"
                }
              }
            }
          },
          "400": {
            "$ref": "#/components/responses/BadRequest"
          },
          "401": {
            "$ref": "#/components/responses/AdminNeeded"
          },
          "404": {
            "$ref": "#/components/responses/NotFound"
          },
          "405": {
            "$ref": "#/components/responses/MethodNotAllowed"
          },
          "409": {
            "description": "The app is no MCP server, or its tools could not be listed.",
            "content": {
              "application/problem+json": {
                "schema": {
                  "$ref": "#/components/schemas/Problem"
                }
              }
            }
          },
          "503": {
            "$ref": "#/components/responses/Unavailable"
          }
        }
      }
    },
    "/apps/{id}/tools/approve": {
      "post": {
        "operationId": "approveTools",
        "tags": [
          "Tools"
        ],
        "summary": "Approve tools' definitions",
        "security": [
          {
            "adminBearer": []
          }
        ],
        "parameters": [
          {
            "$ref": "#/components/parameters/AppID"
          }
        ],
        "requestBody": {
          "required": true,
          "content": {
            "application/json": {
              "schema": {
                "$ref": "#/components/schemas/ToolApproval"
              },
              "example": {
                "tools": [
                  {
                    "name": "transfer_money",
                    "seen_sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
                  }
                ]
              }
            }
          }
        },
        "responses": {
          "200": {
            "description": "The tools after it.",
            "content": {
              "application/json": {
                "schema": {
                  "$ref": "#/components/schemas/ToolList"
                }
              }
            }
          },
          "400": {
            "$ref": "#/components/responses/BadRequest"
          },
          "401": {
            "$ref": "#/components/responses/AdminNeeded"
          },
          "404": {
            "$ref": "#/components/responses/NotFound"
          },
          "405": {
            "$ref": "#/components/responses/MethodNotAllowed"
          },
          "408": {
            "$ref": "#/components/responses/RequestTimeout"
          },
          "409": {
            "$ref": "#/components/responses/Conflict"
          },
          "413": {
            "$ref": "#/components/responses/ContentTooLarge"
          },
          "415": {
            "$ref": "#/components/responses/UnsupportedMediaType"
          },
          "503": {
            "$ref": "#/components/responses/Unavailable"
          }
        }
      }
    },
    "/nodes": {
      "get": {
        "operationId": "listNodes",
        "tags": [
          "Nodes"
        ],
        "summary": "List nodes",
        "security": [
          {
            "adminBearer": []
          }
        ],
        "responses": {
          "200": {
            "description": "The nodes, by name.",
            "content": {
              "application/json": {
                "schema": {
                  "$ref": "#/components/schemas/NodeList"
                },
                "example": {
                  "nodes": [
                    {
                      "id": "node_0b7e4c1d92f84a55b3c6d7e8f9012345",
                      "name": "worker-1.example",
                      "created_at": "2026-11-24T12:00:00.000Z"
                    }
                  ]
                }
              }
            }
          },
          "401": {
            "$ref": "#/components/responses/AdminNeeded"
          },
          "405": {
            "$ref": "#/components/responses/MethodNotAllowed"
          }
        }
      },
      "post": {
        "operationId": "createNode",
        "tags": [
          "Nodes"
        ],
        "summary": "Register a node",
        "description": "It gets a secret, which is shown this once, and may report flows with it and do nothing else. Unknown members are ignored.",
        "security": [
          {
            "adminBearer": []
          }
        ],
        "requestBody": {
          "required": true,
          "content": {
            "application/json": {
              "schema": {
                "$ref": "#/components/schemas/NodeCreation"
              },
              "example": {
                "name": "worker-1.example"
              }
            }
          }
        },
        "responses": {
          "201": {
            "description": "Registered.",
            "headers": {
              "Location": {
                "$ref": "#/components/headers/Location"
              },
              "Cache-Control": {
                "$ref": "#/components/headers/Cache-Control"
              },
              "Pragma": {
                "$ref": "#/components/headers/Pragma"
              }
            },
            "content": {
              "application/json": {
                "schema": {
                  "$ref": "#/components/schemas/NodeWithSecret"
                },
                "example": {
                  "id": "node_0b7e4c1d92f84a55b3c6d7e8f9012345",
                  "name": "worker-1.example",
                  "created_at": "2026-11-24T12:00:00.000Z",
                  "client_secret": "cs_EXAMPLE"
                }
              }
            }
          },
          "400": {
            "$ref": "#/components/responses/BadRequest"
          },
          "401": {
            "$ref": "#/components/responses/AdminNeeded"
          },
          "405": {
            "$ref": "#/components/responses/MethodNotAllowed"
          },
          "408": {
            "$ref": "#/components/responses/RequestTimeout"
          },
          "409": {
            "$ref": "#/components/responses/Conflict"
          },
          "413": {
            "$ref": "#/components/responses/ContentTooLarge"
          },
          "415": {
            "$ref": "#/components/responses/UnsupportedMediaType"
          },
          "503": {
            "$ref": "#/components/responses/Unavailable"
          }
        }
      }
    },
    "/nodes/{id}": {
      "get": {
        "operationId": "getNode",
        "tags": [
          "Nodes"
        ],
        "summary": "Get a node",
        "security": [
          {
            "adminBearer": []
          }
        ],
        "parameters": [
          {
            "$ref": "#/components/parameters/NodeID"
          }
        ],
        "responses": {
          "200": {
            "description": "The node.",
            "content": {
              "application/json": {
                "schema": {
                  "$ref": "#/components/schemas/Node"
                },
                "example": {
                  "id": "node_0b7e4c1d92f84a55b3c6d7e8f9012345",
                  "name": "worker-1.example",
                  "created_at": "2026-11-24T12:00:00.000Z"
                }
              }
            }
          },
          "400": {
            "$ref": "#/components/responses/BadRequest"
          },
          "401": {
            "$ref": "#/components/responses/AdminNeeded"
          },
          "404": {
            "$ref": "#/components/responses/NotFound"
          },
          "405": {
            "$ref": "#/components/responses/MethodNotAllowed"
          }
        }
      },
      "delete": {
        "operationId": "deleteNode",
        "tags": [
          "Nodes"
        ],
        "summary": "Delete a node",
        "description": "What it reported stays.",
        "security": [
          {
            "adminBearer": []
          }
        ],
        "parameters": [
          {
            "$ref": "#/components/parameters/NodeID"
          }
        ],
        "responses": {
          "204": {
            "description": "Deleted."
          },
          "400": {
            "$ref": "#/components/responses/BadRequest"
          },
          "401": {
            "$ref": "#/components/responses/AdminNeeded"
          },
          "404": {
            "$ref": "#/components/responses/NotFound"
          },
          "405": {
            "$ref": "#/components/responses/MethodNotAllowed"
          },
          "503": {
            "$ref": "#/components/responses/Unavailable"
          }
        }
      }
    },
    "/nodes/{id}/secret": {
      "post": {
        "operationId": "rotateNodeSecret",
        "tags": [
          "Nodes"
        ],
        "summary": "Replace a node's secret",
        "description": "The secret before is refused from then on. Takes no body.",
        "security": [
          {
            "adminBearer": []
          }
        ],
        "parameters": [
          {
            "$ref": "#/components/parameters/NodeID"
          }
        ],
        "responses": {
          "200": {
            "description": "The node with its new secret, shown this once.",
            "headers": {
              "Cache-Control": {
                "$ref": "#/components/headers/Cache-Control"
              },
              "Pragma": {
                "$ref": "#/components/headers/Pragma"
              }
            },
            "content": {
              "application/json": {
                "schema": {
                  "$ref": "#/components/schemas/NodeWithSecret"
                },
                "example": {
                  "id": "node_0b7e4c1d92f84a55b3c6d7e8f9012345",
                  "name": "worker-1.example",
                  "created_at": "2026-11-24T12:00:00.000Z",
                  "client_secret": "cs_EXAMPLE"
                }
              }
            }
          },
          "400": {
            "$ref": "#/components/responses/BadRequest"
          },
          "401": {
            "$ref": "#/components/responses/AdminNeeded"
          },
          "404": {
            "$ref": "#/components/responses/NotFound"
          },
          "405": {
            "$ref": "#/components/responses/MethodNotAllowed"
          },
          "503": {
            "$ref": "#/components/responses/Unavailable"
          }
        }
      }
    },
    "/keys/rotate": {
      "post": {
        "operationId": "rotateSigningKey",
        "tags": [
          "Keys"
        ],
        "summary": "Make a new signing key",
        "description": "Tokens of the key before stay good until they expire. Takes no body.",
        "security": [
          {
            "adminBearer": []
          }
        ],
        "responses": {
          "200": {
            "description": "The new public key.",
            "content": {
              "application/json": {
                "schema": {
                  "$ref": "#/components/schemas/SigningKey"
                }
              }
            }
          },
          "400": {
            "$ref": "#/components/responses/BadRequest"
          },
          "401": {
            "$ref": "#/components/responses/AdminNeeded"
          },
          "405": {
            "$ref": "#/components/responses/MethodNotAllowed"
          },
          "503": {
            "$ref": "#/components/responses/Unavailable"
          }
        }
      }
    },
    "/user-inputs/{id}": {
      "get": {
        "operationId": "getUserInput",
        "tags": [
          "Traces"
        ],
        "summary": "Get a user's input",
        "description": "For the client app that brought it and for administrators.",
        "security": [
          {
            "clientBasic": []
          },
          {
            "adminBearer": []
          }
        ],
        "parameters": [
          {
            "$ref": "#/components/parameters/UserInputID"
          }
        ],
        "responses": {
          "200": {
            "description": "The prompt.",
            "headers": {
              "Cache-Control": {
                "$ref": "#/components/headers/Cache-Control"
              },
              "Pragma": {
                "$ref": "#/components/headers/Pragma"
              }
            },
            "content": {
              "application/json": {
                "schema": {
                  "$ref": "#/components/schemas/UserInput"
                },
                "example": {
                  "id": "inp_9c3a51e07d2b4f68a1b2c3d4e5f60789",
                  "mas_id": "mas_5f1d0c9a7be24e3b8a61c2d4e5f60718",
                  "app_id": "app_0b7e4c1d92f84a55b3c6d7e8f9012345",
                  "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
                  "user_input": "Please send 12.50 euros to Carla for dinner.",
                  "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                  "created_at": "2026-11-24T12:00:00.000Z"
                }
              }
            }
          },
          "400": {
            "$ref": "#/components/responses/BadRequest"
          },
          "401": {
            "$ref": "#/components/responses/OAuthUnauthenticated"
          },
          "404": {
            "$ref": "#/components/responses/NotFound"
          },
          "405": {
            "$ref": "#/components/responses/MethodNotAllowed"
          },
          "503": {
            "description": "It can't be read now; try again.",
            "content": {
              "application/problem+json": {
                "schema": {
                  "$ref": "#/components/schemas/Problem"
                }
              },
              "application/json": {
                "schema": {
                  "$ref": "#/components/schemas/OAuthError"
                }
              }
            }
          }
        }
      }
    },
    "/trace/events": {
      "get": {
        "operationId": "listEvents",
        "tags": [
          "Traces"
        ],
        "summary": "Read the trace",
        "description": "In the order of events; go on with `after` = `next_after`. With a filter there may be more although few or none came: so many events are looked through at once.",
        "security": [
          {
            "adminBearer": []
          },
          {
            "readerBearer": []
          },
          {
            "browserCookie": []
          }
        ],
        "parameters": [
          {
            "name": "after",
            "in": "query",
            "description": "Only events after this sequence number.",
            "schema": {
              "type": "integer",
              "format": "int64",
              "minimum": 0,
              "maximum": 9007199254740991
            }
          },
          {
            "name": "limit",
            "in": "query",
            "description": "How many at most.",
            "schema": {
              "type": "integer",
              "minimum": 1,
              "maximum": 1000,
              "default": 100
            }
          },
          {
            "name": "session",
            "in": "query",
            "description": "Only events of this user input.",
            "schema": {
              "type": "string",
              "pattern": "^[A-Za-z0-9_.-]{1,128}$"
            },
            "example": "inp_9c3a51e07d2b4f68a1b2c3d4e5f60789"
          },
          {
            "name": "mas_id",
            "in": "query",
            "description": "Only of this MAS.",
            "schema": {
              "type": "string",
              "pattern": "^[A-Za-z0-9_.-]{1,128}$"
            }
          },
          {
            "name": "app_id",
            "in": "query",
            "description": "Only where this app took part.",
            "schema": {
              "type": "string",
              "pattern": "^[A-Za-z0-9_.-]{1,128}$"
            }
          },
          {
            "name": "kind",
            "in": "query",
            "description": "Only of this kind.",
            "schema": {
              "type": "string",
              "minLength": 1,
              "maxLength": 64
            }
          }
        ],
        "responses": {
          "200": {
            "description": "Read the trace.",
            "headers": {
              "Cache-Control": {
                "$ref": "#/components/headers/Cache-Control"
              },
              "Pragma": {
                "$ref": "#/components/headers/Pragma"
              }
            },
            "content": {
              "application/json": {
                "schema": {
                  "$ref": "#/components/schemas/TraceEventList"
                },
                "example": {
                  "events": [],
                  "next_after": 0
                }
              }
            }
          },
          "400": {
            "$ref": "#/components/responses/BadRequest"
          },
          "401": {
            "$ref": "#/components/responses/ReaderNeeded"
          },
          "405": {
            "$ref": "#/components/responses/MethodNotAllowed"
          },
          "503": {
            "$ref": "#/components/responses/Unavailable"
          }
        }
      },
      "post": {
        "operationId": "reportEvents",
        "tags": [
          "Traces"
        ],
        "summary": "Report what was seen",
        "description": "For authenticated parts only: of an app, about that app; of a node, about the flows it saw, with the node's id and secret. When a node sees a token of this runtime where it was not issued for, an event `token_exfiltration` is stored with the report: one for each token, workload and remote. Unknown members are ignored.",
        "security": [
          {
            "clientBasic": []
          }
        ],
        "requestBody": {
          "required": true,
          "content": {
            "application/json": {
              "schema": {
                "$ref": "#/components/schemas/ReportBatch"
              },
              "example": {
                "events": [
                  {
                    "kind": "llm_call",
                    "token": "eyJ...",
                    "selections": [
                      {
                        "tool": "get_account_summary",
                        "arguments_sha256": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
                      }
                    ]
                  }
                ]
              }
            }
          }
        },
        "responses": {
          "204": {
            "description": "Stored."
          },
          "400": {
            "$ref": "#/components/responses/BadRequest"
          },
          "401": {
            "$ref": "#/components/responses/OAuthUnauthenticated"
          },
          "403": {
            "$ref": "#/components/responses/ReportRefused"
          },
          "405": {
            "$ref": "#/components/responses/MethodNotAllowed"
          },
          "408": {
            "$ref": "#/components/responses/RequestTimeout"
          },
          "413": {
            "$ref": "#/components/responses/ContentTooLarge"
          },
          "415": {
            "$ref": "#/components/responses/UnsupportedMediaType"
          },
          "503": {
            "description": "It can't be stored now; try again.",
            "content": {
              "application/json": {
                "schema": {
                  "$ref": "#/components/schemas/OAuthError"
                }
              }
            }
          }
        }
      },
      "delete": {
        "operationId": "pruneEvents",
        "tags": [
          "Traces"
        ],
        "summary": "Forget what is old",
        "description": "Deletes what happened before a moment that is at least an hour ago: events, flows, alerts, figures, and the sessions that ended before it with their prompts. That it was done is an event itself.",
        "security": [
          {
            "adminBearer": []
          }
        ],
        "parameters": [
          {
            "name": "before",
            "in": "query",
            "required": true,
            "description": "The moment.",
            "schema": {
              "type": "string",
              "description": "RFC 3339 in UTC, such as 2026-01-31T12:00:00Z, or whole milliseconds since 1970.",
              "pattern": "^([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,3})?Z|[0-9]{1,15})$"
            }
          }
        ],
        "responses": {
          "204": {
            "description": "Deleted."
          },
          "400": {
            "$ref": "#/components/responses/BadRequest"
          },
          "401": {
            "$ref": "#/components/responses/AdminNeeded"
          },
          "405": {
            "$ref": "#/components/responses/MethodNotAllowed"
          },
          "503": {
            "$ref": "#/components/responses/Unavailable"
          }
        }
      }
    },
    "/healthz": {
      "get": {
        "operationId": "getHealth",
        "tags": [
          "Operation"
        ],
        "summary": "Whether the process runs",
        "security": [],
        "responses": {
          "200": {
            "description": "It does.",
            "content": {
              "application/json": {
                "schema": {
                  "$ref": "#/components/schemas/Status"
                },
                "example": {
                  "status": "ok"
                }
              }
            }
          },
          "405": {
            "$ref": "#/components/responses/MethodNotAllowed"
          }
        }
      }
    },
    "/readyz": {
      "get": {
        "operationId": "getReadiness",
        "tags": [
          "Operation"
        ],
        "summary": "Whether requests are served",
        "security": [],
        "responses": {
          "200": {
            "description": "They are.",
            "content": {
              "application/json": {
                "schema": {
                  "$ref": "#/components/schemas/Status"
                },
                "example": {
                  "status": "ready"
                }
              }
            }
          },
          "405": {
            "$ref": "#/components/responses/MethodNotAllowed"
          },
          "503": {
            "description": "The runtime is starting or shutting down.",
            "content": {
              "application/problem+json": {
                "schema": {
                  "$ref": "#/components/schemas/Problem"
                }
              }
            }
          }
        }
      }
    },
    "/metrics": {
      "get": {
        "operationId": "getMetrics",
        "tags": [
          "Operation"
        ],
        "summary": "Metrics for Prometheus",
        "security": [],
        "responses": {
          "200": {
            "description": "The text format 0.0.4.",
            "content": {
              "text/plain": {
                "schema": {
                  "type": "string"
                },
                "example": "casa_live_sessions 1\n"
              }
            }
          },
          "405": {
            "$ref": "#/components/responses/MethodNotAllowed"
          }
        }
      }
    },
    "/openapi.json": {
      "get": {
        "operationId": "getDescription",
        "tags": [
          "Operation"
        ],
        "summary": "This description",
        "security": [],
        "responses": {
          "200": {
            "description": "OpenAPI 3.1.",
            "content": {
              "application/json": {
                "schema": {
                  "type": "object",
                  "required": [
                    "openapi"
                  ]
                }
              }
            }
          },
          "405": {
            "$ref": "#/components/responses/MethodNotAllowed"
          }
        }
      }
    },
    "/trace/sessions": {
      "get": {
        "operationId": "listSessions",
        "tags": [
          "Traces"
        ],
        "summary": "List sessions",
        "description": "The newest first. A new session takes a moment to appear.",
        "security": [
          {
            "adminBearer": []
          },
          {
            "readerBearer": []
          },
          {
            "browserCookie": []
          }
        ],
        "parameters": [
          {
            "name": "mas_id",
            "in": "query",
            "description": "Only of this MAS.",
            "schema": {
              "type": "string",
              "pattern": "^[A-Za-z0-9_.-]{1,128}$"
            }
          },
          {
            "name": "app_id",
            "in": "query",
            "description": "Only where this app took part.",
            "schema": {
              "type": "string",
              "pattern": "^[A-Za-z0-9_.-]{1,128}$"
            }
          },
          {
            "name": "tool",
            "in": "query",
            "description": "Only sessions in which this tool was selected or called.",
            "schema": {
              "type": "string",
              "minLength": 1,
              "maxLength": 256
            }
          },
          {
            "name": "verdict",
            "in": "query",
            "description": "`refused`: something was refused; `allowed`: nothing was.",
            "schema": {
              "type": "string",
              "enum": [
                "allowed",
                "refused"
              ]
            }
          },
          {
            "name": "reason",
            "in": "query",
            "description": "Only sessions in which something was refused for this reason.",
            "schema": {
              "type": "string",
              "minLength": 1,
              "maxLength": 64
            }
          },
          {
            "name": "from",
            "in": "query",
            "description": "From this moment on.",
            "schema": {
              "type": "string",
              "description": "RFC 3339 in UTC, such as 2026-01-31T12:00:00Z, or whole milliseconds since 1970.",
              "pattern": "^([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,3})?Z|[0-9]{1,15})$"
            }
          },
          {
            "name": "to",
            "in": "query",
            "description": "Before this moment.",
            "schema": {
              "type": "string",
              "description": "RFC 3339 in UTC, such as 2026-01-31T12:00:00Z, or whole milliseconds since 1970.",
              "pattern": "^([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,3})?Z|[0-9]{1,15})$"
            }
          },
          {
            "name": "text",
            "in": "query",
            "description": "Words of the prompt, all of which must be there; takes the right to read prompts.",
            "schema": {
              "type": "string",
              "minLength": 1,
              "maxLength": 512
            }
          },
          {
            "name": "before",
            "in": "query",
            "description": "Go on with the `next` of an earlier answer.",
            "schema": {
              "type": "integer",
              "format": "int64",
              "minimum": 0,
              "maximum": 9007199254740991
            }
          },
          {
            "name": "limit",
            "in": "query",
            "description": "How many at most.",
            "schema": {
              "type": "integer",
              "minimum": 1,
              "maximum": 1000,
              "default": 100
            }
          }
        ],
        "responses": {
          "200": {
            "description": "List sessions.",
            "headers": {
              "Cache-Control": {
                "$ref": "#/components/headers/Cache-Control"
              },
              "Pragma": {
                "$ref": "#/components/headers/Pragma"
              }
            },
            "content": {
              "application/json": {
                "schema": {
                  "$ref": "#/components/schemas/SessionList"
                },
                "example": {
                  "sessions": [
                    {
                      "id": "inp_9c3a51e07d2b4f68a1b2c3d4e5f60789",
                      "mas_id": "mas_5f1d0c9a7be24e3b8a61c2d4e5f60718",
                      "mas": "banking",
                      "app_id": "app_1",
                      "app": "client",
                      "apps": [
                        "app_1"
                      ],
                      "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
                      "started_at": "2026-11-24T12:00:00.000Z",
                      "last_at": "2026-11-24T12:00:01.000Z",
                      "prompt": null,
                      "events": 4,
                      "allowed": 1,
                      "refused": 0,
                      "alerts": 0,
                      "tools": [],
                      "reasons": []
                    }
                  ],
                  "next": null
                }
              }
            }
          },
          "400": {
            "$ref": "#/components/responses/BadRequest"
          },
          "401": {
            "$ref": "#/components/responses/ReaderNeeded"
          },
          "405": {
            "$ref": "#/components/responses/MethodNotAllowed"
          },
          "503": {
            "$ref": "#/components/responses/Unavailable"
          }
        }
      }
    },
    "/trace/sessions/{id}": {
      "get": {
        "operationId": "getSession",
        "tags": [
          "Traces"
        ],
        "summary": "Read one session whole",
        "description": "Its first 1000 events (the others follow with `GET /trace/events?session=…&after=` `next_after`), tokens with their lineage, the kernel's flows that carried them, what the kernel refused its apps meanwhile, and alerts.",
        "security": [
          {
            "adminBearer": []
          },
          {
            "readerBearer": []
          },
          {
            "browserCookie": []
          }
        ],
        "parameters": [
          {
            "name": "id",
            "in": "path",
            "required": true,
            "description": "The user input's id.",
            "schema": {
              "type": "string",
              "pattern": "^[A-Za-z0-9_.-]{1,128}$"
            },
            "example": "inp_9c3a51e07d2b4f68a1b2c3d4e5f60789"
          }
        ],
        "responses": {
          "200": {
            "description": "Read one session whole.",
            "headers": {
              "Cache-Control": {
                "$ref": "#/components/headers/Cache-Control"
              },
              "Pragma": {
                "$ref": "#/components/headers/Pragma"
              }
            },
            "content": {
              "application/json": {
                "schema": {
                  "$ref": "#/components/schemas/Session"
                },
                "example": {
                  "session": {
                    "id": "inp_9c3a51e07d2b4f68a1b2c3d4e5f60789",
                    "mas_id": "mas_5f1d0c9a7be24e3b8a61c2d4e5f60718",
                    "mas": "banking",
                    "app_id": "app_1",
                    "app": "client",
                    "apps": [
                      "app_1"
                    ],
                    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
                    "started_at": "2026-11-24T12:00:00.000Z",
                    "last_at": "2026-11-24T12:00:01.000Z",
                    "prompt": null,
                    "events": 4,
                    "allowed": 1,
                    "refused": 0,
                    "alerts": 0,
                    "tools": [],
                    "reasons": []
                  },
                  "apps": {},
                  "events": [],
                  "next_after": null,
                  "tokens": [],
                  "flows": [],
                  "alerts": []
                }
              }
            }
          },
          "400": {
            "$ref": "#/components/responses/BadRequest"
          },
          "401": {
            "$ref": "#/components/responses/ReaderNeeded"
          },
          "405": {
            "$ref": "#/components/responses/MethodNotAllowed"
          },
          "503": {
            "$ref": "#/components/responses/Unavailable"
          },
          "404": {
            "$ref": "#/components/responses/NotFound"
          }
        }
      }
    },
    "/trace/alerts": {
      "get": {
        "operationId": "listAlerts",
        "tags": [
          "Traces"
        ],
        "summary": "List alerts",
        "description": "The newest first.",
        "security": [
          {
            "adminBearer": []
          },
          {
            "readerBearer": []
          },
          {
            "browserCookie": []
          }
        ],
        "parameters": [
          {
            "name": "mas_id",
            "in": "query",
            "description": "Only of this MAS.",
            "schema": {
              "type": "string",
              "pattern": "^[A-Za-z0-9_.-]{1,128}$"
            }
          },
          {
            "name": "kind",
            "in": "query",
            "description": "Only of this kind.",
            "schema": {
              "type": "string",
              "minLength": 1,
              "maxLength": 64
            }
          },
          {
            "name": "from",
            "in": "query",
            "description": "From this moment on.",
            "schema": {
              "type": "string",
              "description": "RFC 3339 in UTC, such as 2026-01-31T12:00:00Z, or whole milliseconds since 1970.",
              "pattern": "^([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,3})?Z|[0-9]{1,15})$"
            }
          },
          {
            "name": "to",
            "in": "query",
            "description": "Before this moment.",
            "schema": {
              "type": "string",
              "description": "RFC 3339 in UTC, such as 2026-01-31T12:00:00Z, or whole milliseconds since 1970.",
              "pattern": "^([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,3})?Z|[0-9]{1,15})$"
            }
          },
          {
            "name": "before",
            "in": "query",
            "description": "Go on with the `next` of an earlier answer.",
            "schema": {
              "type": "integer",
              "format": "int64",
              "minimum": 0,
              "maximum": 9007199254740991
            }
          },
          {
            "name": "limit",
            "in": "query",
            "description": "How many at most.",
            "schema": {
              "type": "integer",
              "minimum": 1,
              "maximum": 1000,
              "default": 100
            }
          }
        ],
        "responses": {
          "200": {
            "description": "List alerts.",
            "headers": {
              "Cache-Control": {
                "$ref": "#/components/headers/Cache-Control"
              },
              "Pragma": {
                "$ref": "#/components/headers/Pragma"
              }
            },
            "content": {
              "application/json": {
                "schema": {
                  "$ref": "#/components/schemas/AlertList"
                },
                "example": {
                  "alerts": [],
                  "next": null
                }
              }
            }
          },
          "400": {
            "$ref": "#/components/responses/BadRequest"
          },
          "401": {
            "$ref": "#/components/responses/ReaderNeeded"
          },
          "405": {
            "$ref": "#/components/responses/MethodNotAllowed"
          },
          "503": {
            "$ref": "#/components/responses/Unavailable"
          }
        }
      }
    },
    "/trace/statistics": {
      "get": {
        "operationId": "getStatistics",
        "tags": [
          "Traces"
        ],
        "summary": "Read figures over time",
        "description": "Of the last 24 hours unless `from` and `to` say otherwise; at most 400 days. A call is counted where it arrives.",
        "security": [
          {
            "adminBearer": []
          },
          {
            "readerBearer": []
          },
          {
            "browserCookie": []
          }
        ],
        "parameters": [
          {
            "name": "mas_id",
            "in": "query",
            "description": "Only of this MAS.",
            "schema": {
              "type": "string",
              "pattern": "^[A-Za-z0-9_.-]{1,128}$"
            }
          },
          {
            "name": "from",
            "in": "query",
            "description": "From this moment on.",
            "schema": {
              "type": "string",
              "description": "RFC 3339 in UTC, such as 2026-01-31T12:00:00Z, or whole milliseconds since 1970.",
              "pattern": "^([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,3})?Z|[0-9]{1,15})$"
            }
          },
          {
            "name": "to",
            "in": "query",
            "description": "Before this moment.",
            "schema": {
              "type": "string",
              "description": "RFC 3339 in UTC, such as 2026-01-31T12:00:00Z, or whole milliseconds since 1970.",
              "pattern": "^([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,3})?Z|[0-9]{1,15})$"
            }
          }
        ],
        "responses": {
          "200": {
            "description": "Read figures over time.",
            "headers": {
              "Cache-Control": {
                "$ref": "#/components/headers/Cache-Control"
              },
              "Pragma": {
                "$ref": "#/components/headers/Pragma"
              }
            },
            "content": {
              "application/json": {
                "schema": {
                  "$ref": "#/components/schemas/Statistics"
                },
                "example": {
                  "from": "2026-11-23T12:00:00.000Z",
                  "to": "2026-11-24T12:00:00.000Z",
                  "bucket_seconds": 900,
                  "totals": {
                    "systems": 1,
                    "apps": 3,
                    "sessions": 0,
                    "allowed": 0,
                    "refused": 0,
                    "alerts": 0,
                    "flows": 0,
                    "flows_refused": 0
                  },
                  "calls": [],
                  "reasons": [],
                  "checks": []
                }
              }
            }
          },
          "400": {
            "$ref": "#/components/responses/BadRequest"
          },
          "401": {
            "$ref": "#/components/responses/ReaderNeeded"
          },
          "405": {
            "$ref": "#/components/responses/MethodNotAllowed"
          },
          "503": {
            "$ref": "#/components/responses/Unavailable"
          }
        }
      }
    },
    "/trace/graph": {
      "get": {
        "operationId": "getGraph",
        "tags": [
          "Traces"
        ],
        "summary": "Read who called whom",
        "description": "Of the last 24 hours unless `from` and `to` say otherwise, in whole hours.",
        "security": [
          {
            "adminBearer": []
          },
          {
            "readerBearer": []
          },
          {
            "browserCookie": []
          }
        ],
        "parameters": [
          {
            "name": "mas_id",
            "in": "query",
            "description": "Only of this MAS.",
            "schema": {
              "type": "string",
              "pattern": "^[A-Za-z0-9_.-]{1,128}$"
            }
          },
          {
            "name": "from",
            "in": "query",
            "description": "From this moment on.",
            "schema": {
              "type": "string",
              "description": "RFC 3339 in UTC, such as 2026-01-31T12:00:00Z, or whole milliseconds since 1970.",
              "pattern": "^([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,3})?Z|[0-9]{1,15})$"
            }
          },
          {
            "name": "to",
            "in": "query",
            "description": "Before this moment.",
            "schema": {
              "type": "string",
              "description": "RFC 3339 in UTC, such as 2026-01-31T12:00:00Z, or whole milliseconds since 1970.",
              "pattern": "^([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,3})?Z|[0-9]{1,15})$"
            }
          }
        ],
        "responses": {
          "200": {
            "description": "Read who called whom.",
            "headers": {
              "Cache-Control": {
                "$ref": "#/components/headers/Cache-Control"
              },
              "Pragma": {
                "$ref": "#/components/headers/Pragma"
              }
            },
            "content": {
              "application/json": {
                "schema": {
                  "$ref": "#/components/schemas/Graph"
                },
                "example": {
                  "apps": [],
                  "edges": []
                }
              }
            }
          },
          "400": {
            "$ref": "#/components/responses/BadRequest"
          },
          "401": {
            "$ref": "#/components/responses/ReaderNeeded"
          },
          "405": {
            "$ref": "#/components/responses/MethodNotAllowed"
          },
          "503": {
            "$ref": "#/components/responses/Unavailable"
          }
        }
      }
    },
    "/trace/search": {
      "get": {
        "operationId": "search",
        "tags": [
          "Traces"
        ],
        "summary": "Search",
        "description": "Sessions by id, trace id, token hash, decision, tool, reason or words of the prompt; tokens by hash; systems and apps by name.",
        "security": [
          {
            "adminBearer": []
          },
          {
            "readerBearer": []
          },
          {
            "browserCookie": []
          }
        ],
        "parameters": [
          {
            "name": "q",
            "in": "query",
            "description": "An id, a token's hash, a name, or words of a prompt.",
            "schema": {
              "type": "string",
              "minLength": 1
            },
            "required": true
          }
        ],
        "responses": {
          "200": {
            "description": "Search.",
            "headers": {
              "Cache-Control": {
                "$ref": "#/components/headers/Cache-Control"
              },
              "Pragma": {
                "$ref": "#/components/headers/Pragma"
              }
            },
            "content": {
              "application/json": {
                "schema": {
                  "$ref": "#/components/schemas/SearchResult"
                },
                "example": {
                  "sessions": [],
                  "tokens": [],
                  "systems": [],
                  "apps": []
                }
              }
            }
          },
          "400": {
            "$ref": "#/components/responses/BadRequest"
          },
          "401": {
            "$ref": "#/components/responses/ReaderNeeded"
          },
          "405": {
            "$ref": "#/components/responses/MethodNotAllowed"
          },
          "503": {
            "$ref": "#/components/responses/Unavailable"
          }
        }
      }
    },
    "/trace/live": {
      "get": {
        "operationId": "streamEvents",
        "tags": [
          "Traces"
        ],
        "summary": "Follow the trace",
        "description": "Server-sent events: `id` is the sequence, `data` the event. Resumes after `Last-Event-ID`, or after `after`; else it begins with what comes next.",
        "security": [
          {
            "adminBearer": []
          },
          {
            "readerBearer": []
          },
          {
            "browserCookie": []
          }
        ],
        "parameters": [
          {
            "name": "mas_id",
            "in": "query",
            "description": "Only of this MAS.",
            "schema": {
              "type": "string",
              "pattern": "^[A-Za-z0-9_.-]{1,128}$"
            }
          },
          {
            "name": "app_id",
            "in": "query",
            "description": "Only where this app took part.",
            "schema": {
              "type": "string",
              "pattern": "^[A-Za-z0-9_.-]{1,128}$"
            }
          },
          {
            "name": "session",
            "in": "query",
            "description": "Only events of this user input.",
            "schema": {
              "type": "string",
              "pattern": "^[A-Za-z0-9_.-]{1,128}$"
            },
            "example": "inp_9c3a51e07d2b4f68a1b2c3d4e5f60789"
          },
          {
            "name": "kind",
            "in": "query",
            "description": "Only of this kind.",
            "schema": {
              "type": "string",
              "minLength": 1,
              "maxLength": 64
            }
          },
          {
            "name": "after",
            "in": "query",
            "description": "Only events after this sequence number.",
            "schema": {
              "type": "integer",
              "format": "int64",
              "minimum": 0,
              "maximum": 9007199254740991
            }
          },
          {
            "name": "Last-Event-ID",
            "in": "header",
            "description": "The id of the last event that arrived.",
            "schema": {
              "type": "integer",
              "format": "int64",
              "minimum": 0,
              "maximum": 9007199254740991
            }
          }
        ],
        "responses": {
          "200": {
            "description": "Follow the trace.",
            "headers": {
              "Cache-Control": {
                "$ref": "#/components/headers/Cache-Control"
              }
            },
            "content": {
              "text/event-stream": {
                "schema": {
                  "type": "string"
                }
              }
            }
          },
          "400": {
            "$ref": "#/components/responses/BadRequest"
          },
          "401": {
            "$ref": "#/components/responses/ReaderNeeded"
          },
          "405": {
            "$ref": "#/components/responses/MethodNotAllowed"
          },
          "503": {
            "$ref": "#/components/responses/Unavailable"
          }
        }
      }
    },
    "/trace/export": {
      "get": {
        "operationId": "exportEvents",
        "tags": [
          "Traces"
        ],
        "summary": "Export the trace",
        "description": "All events up to now as JSON Lines, one event a line.",
        "security": [
          {
            "adminBearer": []
          },
          {
            "readerBearer": []
          },
          {
            "browserCookie": []
          }
        ],
        "parameters": [
          {
            "name": "mas_id",
            "in": "query",
            "description": "Only of this MAS.",
            "schema": {
              "type": "string",
              "pattern": "^[A-Za-z0-9_.-]{1,128}$"
            }
          },
          {
            "name": "app_id",
            "in": "query",
            "description": "Only where this app took part.",
            "schema": {
              "type": "string",
              "pattern": "^[A-Za-z0-9_.-]{1,128}$"
            }
          },
          {
            "name": "session",
            "in": "query",
            "description": "Only events of this user input.",
            "schema": {
              "type": "string",
              "pattern": "^[A-Za-z0-9_.-]{1,128}$"
            },
            "example": "inp_9c3a51e07d2b4f68a1b2c3d4e5f60789"
          },
          {
            "name": "kind",
            "in": "query",
            "description": "Only of this kind.",
            "schema": {
              "type": "string",
              "minLength": 1,
              "maxLength": 64
            }
          },
          {
            "name": "after",
            "in": "query",
            "description": "Only events after this sequence number.",
            "schema": {
              "type": "integer",
              "format": "int64",
              "minimum": 0,
              "maximum": 9007199254740991
            }
          }
        ],
        "responses": {
          "200": {
            "description": "Export the trace.",
            "headers": {
              "Cache-Control": {
                "$ref": "#/components/headers/Cache-Control"
              }
            },
            "content": {
              "application/jsonl": {
                "schema": {
                  "type": "string"
                }
              }
            }
          },
          "400": {
            "$ref": "#/components/responses/BadRequest"
          },
          "401": {
            "$ref": "#/components/responses/ReaderNeeded"
          },
          "405": {
            "$ref": "#/components/responses/MethodNotAllowed"
          },
          "503": {
            "$ref": "#/components/responses/Unavailable"
          }
        }
      }
    },
    "/readers": {
      "get": {
        "operationId": "listReaders",
        "tags": [
          "Readers"
        ],
        "summary": "List readers",
        "security": [
          {
            "adminBearer": []
          }
        ],
        "responses": {
          "200": {
            "description": "The readers, by name.",
            "content": {
              "application/json": {
                "schema": {
                  "$ref": "#/components/schemas/ReaderList"
                },
                "example": {
                  "readers": [
                    {
                      "id": "reader_0b7e4c1d92f84a55b3c6d7e8f9012345",
                      "name": "auditor",
                      "created_at": "2026-11-24T12:00:00.000Z",
                      "mas_ids": null,
                      "reads_prompts": false
                    }
                  ]
                }
              }
            }
          },
          "401": {
            "$ref": "#/components/responses/AdminNeeded"
          },
          "405": {
            "$ref": "#/components/responses/MethodNotAllowed"
          }
        }
      },
      "post": {
        "operationId": "createReader",
        "tags": [
          "Readers"
        ],
        "summary": "Register a reader",
        "description": "Somebody who may read traces and nothing else, of some systems or of all. The credential is shown this once. Unknown members are ignored.",
        "security": [
          {
            "adminBearer": []
          }
        ],
        "requestBody": {
          "required": true,
          "content": {
            "application/json": {
              "schema": {
                "$ref": "#/components/schemas/ReaderCreation"
              },
              "example": {
                "name": "auditor",
                "reads_prompts": false
              }
            }
          }
        },
        "responses": {
          "201": {
            "description": "Registered.",
            "headers": {
              "Location": {
                "$ref": "#/components/headers/Location"
              },
              "Cache-Control": {
                "$ref": "#/components/headers/Cache-Control"
              },
              "Pragma": {
                "$ref": "#/components/headers/Pragma"
              }
            },
            "content": {
              "application/json": {
                "schema": {
                  "$ref": "#/components/schemas/NewReader"
                },
                "example": {
                  "id": "reader_0b7e4c1d92f84a55b3c6d7e8f9012345",
                  "name": "auditor",
                  "created_at": "2026-11-24T12:00:00.000Z",
                  "mas_ids": null,
                  "reads_prompts": false,
                  "credential": "reader_0b7e4c1d92f84a55b3c6d7e8f9012345.cs_EXAMPLE"
                }
              }
            }
          },
          "400": {
            "$ref": "#/components/responses/BadRequest"
          },
          "401": {
            "$ref": "#/components/responses/AdminNeeded"
          },
          "405": {
            "$ref": "#/components/responses/MethodNotAllowed"
          },
          "408": {
            "$ref": "#/components/responses/RequestTimeout"
          },
          "409": {
            "$ref": "#/components/responses/Conflict"
          },
          "413": {
            "$ref": "#/components/responses/ContentTooLarge"
          },
          "415": {
            "$ref": "#/components/responses/UnsupportedMediaType"
          },
          "503": {
            "$ref": "#/components/responses/Unavailable"
          },
          "404": {
            "$ref": "#/components/responses/NotFound"
          }
        }
      }
    },
    "/readers/{id}": {
      "get": {
        "operationId": "getReader",
        "tags": [
          "Readers"
        ],
        "summary": "Get a reader",
        "security": [
          {
            "adminBearer": []
          }
        ],
        "parameters": [
          {
            "$ref": "#/components/parameters/ReaderID"
          }
        ],
        "responses": {
          "200": {
            "description": "The reader.",
            "content": {
              "application/json": {
                "schema": {
                  "$ref": "#/components/schemas/Reader"
                },
                "example": {
                  "id": "reader_0b7e4c1d92f84a55b3c6d7e8f9012345",
                  "name": "auditor",
                  "created_at": "2026-11-24T12:00:00.000Z",
                  "mas_ids": null,
                  "reads_prompts": false
                }
              }
            }
          },
          "400": {
            "$ref": "#/components/responses/BadRequest"
          },
          "401": {
            "$ref": "#/components/responses/AdminNeeded"
          },
          "404": {
            "$ref": "#/components/responses/NotFound"
          },
          "405": {
            "$ref": "#/components/responses/MethodNotAllowed"
          }
        }
      },
      "delete": {
        "operationId": "deleteReader",
        "tags": [
          "Readers"
        ],
        "summary": "Delete a reader",
        "description": "Its credential, and browsers that signed in with it, are refused from then on.",
        "security": [
          {
            "adminBearer": []
          }
        ],
        "parameters": [
          {
            "$ref": "#/components/parameters/ReaderID"
          }
        ],
        "responses": {
          "204": {
            "description": "Deleted."
          },
          "400": {
            "$ref": "#/components/responses/BadRequest"
          },
          "401": {
            "$ref": "#/components/responses/AdminNeeded"
          },
          "404": {
            "$ref": "#/components/responses/NotFound"
          },
          "405": {
            "$ref": "#/components/responses/MethodNotAllowed"
          },
          "503": {
            "$ref": "#/components/responses/Unavailable"
          }
        }
      }
    }
  },
  "components": {
    "securitySchemes": {
      "clientBasic": {
        "type": "http",
        "scheme": "basic",
        "description": "`client_secret_basic`: the app's id and secret, each form-encoded (RFC 6749 section 2.3.1). Endpoints that take a form accept credentials there instead, which is what an empty requirement means: `client_secret_post` (`client_id`, `client_secret`) or `private_key_jwt` (`client_assertion_type`, `client_assertion`; RFC 7523). Exactly one way may be used in a request. Where flows are reported, a node's id and secret."
      },
      "adminBearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "The administrator's credential, which the runtime writes to `admin-credential` in its data directory at the first start."
      },
      "readerBearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "A reader's credential, as `POST /readers` shows it once."
      },
      "browserCookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": "casa_session",
        "description": "What the Explorer gives a browser that signed in. Taken for reading traces only, and never from another site."
      }
    },
    "parameters": {
      "MASID": {
        "name": "id",
        "in": "path",
        "required": true,
        "description": "The MAS's id.",
        "schema": {
          "type": "string",
          "pattern": "^[A-Za-z0-9_.-]{1,128}$"
        },
        "example": "mas_5f1d0c9a7be24e3b8a61c2d4e5f60718"
      },
      "AppID": {
        "name": "id",
        "in": "path",
        "required": true,
        "description": "The app's id.",
        "schema": {
          "type": "string",
          "pattern": "^[A-Za-z0-9_.-]{1,128}$"
        },
        "example": "app_0b7e4c1d92f84a55b3c6d7e8f9012345"
      },
      "UserInputID": {
        "name": "id",
        "in": "path",
        "required": true,
        "description": "The user input's id.",
        "schema": {
          "type": "string",
          "pattern": "^[A-Za-z0-9_.-]{1,128}$"
        },
        "example": "inp_9c3a51e07d2b4f68a1b2c3d4e5f60789"
      },
      "NodeID": {
        "name": "id",
        "in": "path",
        "required": true,
        "description": "The node's id.",
        "schema": {
          "type": "string",
          "pattern": "^[A-Za-z0-9_.-]{1,128}$"
        },
        "example": "node_0b7e4c1d92f84a55b3c6d7e8f9012345"
      },
      "ReaderID": {
        "name": "id",
        "in": "path",
        "required": true,
        "description": "The reader's id.",
        "schema": {
          "type": "string",
          "pattern": "^[A-Za-z0-9_.-]{1,128}$"
        },
        "example": "reader_0b7e4c1d92f84a55b3c6d7e8f9012345"
      }
    },
    "headers": {
      "Cache-Control": {
        "description": "`no-store`: no cache may keep the answer.",
        "required": true,
        "schema": {
          "type": "string"
        }
      },
      "Pragma": {
        "description": "`no-cache`.",
        "required": true,
        "schema": {
          "type": "string"
        }
      },
      "WWW-Authenticate": {
        "description": "How to authenticate.",
        "required": true,
        "schema": {
          "type": "string"
        }
      },
      "Location": {
        "description": "Where the new resource is.",
        "required": true,
        "schema": {
          "type": "string",
          "format": "uri-reference"
        }
      },
      "Allow": {
        "description": "The methods the path takes.",
        "required": true,
        "schema": {
          "type": "string"
        }
      }
    },
    "responses": {
      "BadRequest": {
        "description": "The request is not what this endpoint takes; `detail` and `errors` tell why.",
        "content": {
          "application/problem+json": {
            "schema": {
              "$ref": "#/components/schemas/Problem"
            },
            "example": {
              "type": "about:blank",
              "title": "Bad Request",
              "status": 400,
              "detail": "`name` must be 1 to 63 of a-z, 0-9 and -, beginning and ending with a letter or digit",
              "errors": [
                {
                  "field": "name",
                  "expected": "1 to 63 of a-z, 0-9 and -, beginning and ending with a letter or digit"
                }
              ]
            }
          }
        }
      },
      "AdminNeeded": {
        "description": "The administrator's credential is missing or wrong.",
        "content": {
          "application/problem+json": {
            "schema": {
              "$ref": "#/components/schemas/Problem"
            }
          }
        },
        "headers": {
          "WWW-Authenticate": {
            "$ref": "#/components/headers/WWW-Authenticate"
          }
        }
      },
      "NotFound": {
        "description": "Nothing has this id.",
        "content": {
          "application/problem+json": {
            "schema": {
              "$ref": "#/components/schemas/Problem"
            }
          }
        }
      },
      "MethodNotAllowed": {
        "description": "The path does not take this method.",
        "content": {
          "application/problem+json": {
            "schema": {
              "$ref": "#/components/schemas/Problem"
            }
          }
        },
        "headers": {
          "Allow": {
            "$ref": "#/components/headers/Allow"
          }
        }
      },
      "RequestTimeout": {
        "description": "The body did not arrive in time.",
        "content": {
          "application/problem+json": {
            "schema": {
              "$ref": "#/components/schemas/Problem"
            }
          }
        }
      },
      "Conflict": {
        "description": "What is asked contradicts what is stored.",
        "content": {
          "application/problem+json": {
            "schema": {
              "$ref": "#/components/schemas/Problem"
            }
          }
        }
      },
      "ContentTooLarge": {
        "description": "The body has more than 524288 bytes, or one of reports more than 2097152.",
        "content": {
          "application/problem+json": {
            "schema": {
              "$ref": "#/components/schemas/Problem"
            }
          }
        }
      },
      "UnsupportedMediaType": {
        "description": "The body has to be JSON in UTF-8, without a content coding.",
        "content": {
          "application/problem+json": {
            "schema": {
              "$ref": "#/components/schemas/Problem"
            }
          }
        }
      },
      "Unavailable": {
        "description": "It can't be stored or read now; try again.",
        "content": {
          "application/problem+json": {
            "schema": {
              "$ref": "#/components/schemas/Problem"
            }
          }
        }
      },
      "OAuthBadRequest": {
        "description": "The request is not valid, or the token may not be exchanged so.",
        "headers": {
          "Cache-Control": {
            "$ref": "#/components/headers/Cache-Control"
          },
          "Pragma": {
            "$ref": "#/components/headers/Pragma"
          }
        },
        "content": {
          "application/json": {
            "schema": {
              "$ref": "#/components/schemas/OAuthError"
            },
            "example": {
              "error": "invalid_request",
              "error_description": "`grant_type` is missing"
            }
          }
        }
      },
      "OAuthUnauthenticated": {
        "description": "Client authentication failed. Never tells why.",
        "headers": {
          "Cache-Control": {
            "$ref": "#/components/headers/Cache-Control"
          },
          "Pragma": {
            "$ref": "#/components/headers/Pragma"
          },
          "WWW-Authenticate": {
            "$ref": "#/components/headers/WWW-Authenticate"
          }
        },
        "content": {
          "application/json": {
            "schema": {
              "$ref": "#/components/schemas/OAuthError"
            },
            "example": {
              "error": "invalid_client",
              "error_description": "client authentication failed; send client_secret_basic, client_secret_post or an unused private_key_jwt"
            }
          }
        }
      },
      "OAuthAccessDenied": {
        "description": "Refused, with the reason and, when checks decided, the decision.",
        "headers": {
          "Retry-After": {
            "description": "With `session_rate_limited`: after how many seconds to try again.",
            "schema": {
              "type": "integer",
              "minimum": 1,
              "maximum": 60
            }
          },
          "Cache-Control": {
            "$ref": "#/components/headers/Cache-Control"
          },
          "Pragma": {
            "$ref": "#/components/headers/Pragma"
          }
        },
        "content": {
          "application/json": {
            "schema": {
              "$ref": "#/components/schemas/OAuthError"
            },
            "example": {
              "error": "access_denied",
              "error_description": "the call of transfer_money was refused",
              "reason": "tool_not_selected_by_llm",
              "decision_id": "dec_1a2b3c4d5e6f70819203a4b5c6d7e8f9"
            }
          }
        }
      },
      "OAuthTimeout": {
        "description": "The body did not arrive in time.",
        "headers": {
          "Cache-Control": {
            "$ref": "#/components/headers/Cache-Control"
          },
          "Pragma": {
            "$ref": "#/components/headers/Pragma"
          }
        },
        "content": {
          "application/json": {
            "schema": {
              "$ref": "#/components/schemas/OAuthError"
            }
          }
        }
      },
      "OAuthContentTooLarge": {
        "description": "The body has more than 524288 bytes.",
        "headers": {
          "Cache-Control": {
            "$ref": "#/components/headers/Cache-Control"
          },
          "Pragma": {
            "$ref": "#/components/headers/Pragma"
          }
        },
        "content": {
          "application/json": {
            "schema": {
              "$ref": "#/components/schemas/OAuthError"
            }
          }
        }
      },
      "OAuthUnsupportedMediaType": {
        "description": "The body has to be a form in UTF-8, without a content coding.",
        "headers": {
          "Cache-Control": {
            "$ref": "#/components/headers/Cache-Control"
          },
          "Pragma": {
            "$ref": "#/components/headers/Pragma"
          }
        },
        "content": {
          "application/json": {
            "schema": {
              "$ref": "#/components/schemas/OAuthError"
            }
          }
        }
      },
      "OAuthServerError": {
        "description": "The token could not be signed.",
        "headers": {
          "Cache-Control": {
            "$ref": "#/components/headers/Cache-Control"
          },
          "Pragma": {
            "$ref": "#/components/headers/Pragma"
          }
        },
        "content": {
          "application/json": {
            "schema": {
              "$ref": "#/components/schemas/OAuthError"
            }
          }
        }
      },
      "OAuthUnavailable": {
        "description": "The decision can't be recorded now, so nothing was granted; try again.",
        "headers": {
          "Cache-Control": {
            "$ref": "#/components/headers/Cache-Control"
          },
          "Pragma": {
            "$ref": "#/components/headers/Pragma"
          }
        },
        "content": {
          "application/json": {
            "schema": {
              "$ref": "#/components/schemas/OAuthError"
            }
          }
        }
      },
      "ReportRefused": {
        "description": "The evidence of an `llm_call` is not this app's live llm-access token, or that of a `tool_result` not its call-tools token; or a result of the call was recorded before; or the session holds too many selections or results.",
        "headers": {
          "Cache-Control": {
            "$ref": "#/components/headers/Cache-Control"
          },
          "Pragma": {
            "$ref": "#/components/headers/Pragma"
          }
        },
        "content": {
          "application/json": {
            "schema": {
              "$ref": "#/components/schemas/OAuthError"
            }
          }
        }
      },
      "ReaderNeeded": {
        "description": "Neither the administrator's nor a reader's credential, nor the cookie of a browser that is signed in.",
        "headers": {
          "WWW-Authenticate": {
            "$ref": "#/components/headers/WWW-Authenticate"
          }
        },
        "content": {
          "application/problem+json": {
            "schema": {
              "$ref": "#/components/schemas/Problem"
            }
          }
        }
      }
    },
    "schemas": {
      "Identifier": {
        "type": "string",
        "pattern": "^[A-Za-z0-9_.-]{1,128}$",
        "description": "1 to 128 characters of `A-Z a-z 0-9 _ - .`."
      },
      "Name": {
        "type": "string",
        "minLength": 1,
        "maxLength": 63,
        "pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
        "description": "An RFC 1123 label: 1 to 63 of a-z, 0-9 and -, beginning and ending with a letter or digit.",
        "examples": [
          "banking"
        ]
      },
      "ToolName": {
        "type": "string",
        "minLength": 1,
        "maxLength": 128,
        "pattern": "^[A-Za-z0-9_./-]{1,128}$",
        "description": "The name of an MCP tool.",
        "examples": [
          "transfer_money"
        ]
      },
      "SHA256": {
        "type": "string",
        "pattern": "^[0-9a-f]{64}$",
        "description": "A SHA-256 in lowercase hexadecimal.",
        "examples": [
          "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
        ]
      },
      "TraceID": {
        "type": "string",
        "pattern": "^(?!0{32}$)[0-9a-f]{32}$",
        "description": "A W3C trace id: 32 lowercase hexadecimal digits, not all zero.",
        "examples": [
          "4bf92f3577b34da6a3ce929d0e0e4736"
        ]
      },
      "Timestamp": {
        "type": "string",
        "format": "date-time",
        "description": "RFC 3339 in UTC with milliseconds.",
        "examples": [
          "2026-11-24T12:00:00.000Z"
        ]
      },
      "AppKind": {
        "type": "string",
        "enum": [
          "client",
          "agent",
          "mcp_server"
        ],
        "description": "`client` talks for the user, `agent` calls LLMs, tools and other agents, `mcp_server` offers tools over MCP."
      },
      "CheckName": {
        "type": "string",
        "enum": [
          "DETERMINISTIC_TOOL_SELECTED",
          "DETERMINISTIC_LLM_SELECTED_TOOLS",
          "DETERMINISTIC_TOOL_ARGUMENTS",
          "ARGUMENT_GROUNDING",
          "AI_POWERED_TOOL_MATCH"
        ],
        "description": "`DETERMINISTIC_TOOL_SELECTED`: the tool is among the subject token's and offered as it was approved. `DETERMINISTIC_LLM_SELECTED_TOOLS`: the LLM selected this tool with these arguments in this session. `DETERMINISTIC_TOOL_ARGUMENTS`: the arguments are those that the approved schema requires and knows. `ARGUMENT_GROUNDING`: the call's values come from the user or from data, not from an instruction in a tool's result. `AI_POWERED_TOOL_MATCH`: what the tool does is what the user asked for."
      },
      "RefusalReason": {
        "type": "string",
        "enum": [
          "tool_not_selected_by_llm",
          "tool_selection_already_used",
          "no_llm_calls_made_by_app",
          "insufficient_scope",
          "unknown_tool",
          "modified_mcp_tool_defs",
          "tool_parameters_mismatch",
          "tool_intent_mismatch",
          "intent_model_unavailable",
          "session_rate_limited",
          "session_locked",
          "no_check_allowed",
          "token_missing",
          "token_malformed",
          "token_inactive",
          "token_not_for_this_app",
          "token_not_for_this_call",
          "token_spent",
          "token_sent_to_llm_host",
          "trace_context_missing",
          "trace_context_mismatch",
          "session_unknown",
          "session_ambiguous",
          "user_input_missing",
          "user_input_mismatch",
          "protocol_not_allowed",
          "method_not_allowed",
          "malformed_request",
          "body_too_large",
          "reserved_header",
          "duplicate_header",
          "destination_not_allowed",
          "caller_unknown",
          "runtime_unavailable",
          "llm_response_unreadable",
          "mcp_response_unreadable",
          "overloaded",
          "no_decision"
        ],
        "description": "Why something was refused, for machines. Stable."
      },
      "Problem": {
        "type": "object",
        "description": "Problem details (RFC 9457).",
        "required": [
          "type",
          "title",
          "status",
          "detail"
        ],
        "properties": {
          "type": {
            "type": "string",
            "format": "uri-reference"
          },
          "title": {
            "type": "string"
          },
          "status": {
            "type": "integer",
            "minimum": 400,
            "maximum": 599
          },
          "detail": {
            "type": "string",
            "description": "What was expected and what to do."
          },
          "errors": {
            "type": "array",
            "minItems": 1,
            "items": {
              "type": "object",
              "required": [
                "field",
                "expected"
              ],
              "properties": {
                "field": {
                  "type": "string"
                },
                "expected": {
                  "type": "string"
                }
              }
            }
          }
        }
      },
      "OAuthError": {
        "type": "object",
        "description": "An OAuth error (RFC 6749 section 5.2) with, where there are any, the reason and the decision.",
        "required": [
          "error",
          "error_description"
        ],
        "properties": {
          "error": {
            "type": "string",
            "enum": [
              "invalid_request",
              "invalid_client",
              "invalid_grant",
              "unauthorized_client",
              "unsupported_grant_type",
              "invalid_scope",
              "invalid_target",
              "invalid_authorization_details",
              "access_denied",
              "temporarily_unavailable",
              "server_error"
            ]
          },
          "error_description": {
            "type": "string"
          },
          "reason": {
            "$ref": "#/components/schemas/RefusalReason"
          },
          "decision_id": {
            "type": "string",
            "pattern": "^[A-Za-z0-9_.-]{1,128}$",
            "description": "The decision of the checks; its details are in the trace event `exchange_refused`.",
            "examples": [
              "dec_1a2b3c4d5e6f70819203a4b5c6d7e8f9"
            ]
          },
          "retry_after": {
            "type": "integer",
            "minimum": 1,
            "maximum": 60,
            "description": "With `session_rate_limited`: after how many seconds the session's calls are looked at again. The header `Retry-After` says the same."
          }
        }
      },
      "ClientAuthentication": {
        "type": "object",
        "description": "How a client authenticates in the form itself (RFC 6749 section 2.3.1, RFC 7523 section 2.2) when it sends no `Authorization: Basic`. Exactly one way may be used in a request.",
        "properties": {
          "client_id": {
            "type": "string",
            "pattern": "^$|^[A-Za-z0-9_.-]{1,128}$",
            "description": "The app's id. Needed with `client_secret`; beside another way of authenticating it must name the same app.",
            "examples": [
              "app_0b7e4c1d92f84a55b3c6d7e8f9012345"
            ]
          },
          "client_secret": {
            "type": "string",
            "format": "password",
            "description": "`client_secret_post`: the app's secret."
          },
          "client_assertion_type": {
            "type": "string",
            "description": "Needed with `client_assertion`; without it of no meaning.",
            "examples": [
              "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
            ]
          },
          "client_assertion": {
            "type": "string",
            "maxLength": 8192,
            "description": "`private_key_jwt` (RFC 7523): a JWT signed with a key of the app's JWK set, ES256 or EdDSA. `iss` and `sub` are the client id, `aud` is the issuer or the token endpoint, `exp` is at most 5 minutes ahead, and `jti` (1 to 256 bytes) was not used before."
          }
        },
        "not": {
          "required": [
            "client_secret",
            "client_assertion"
          ],
          "properties": {
            "client_secret": {
              "type": "string",
              "minLength": 1
            },
            "client_assertion": {
              "type": "string",
              "minLength": 1
            }
          }
        },
        "if": {
          "required": [
            "client_assertion"
          ],
          "properties": {
            "client_assertion": {
              "type": "string",
              "minLength": 1
            }
          }
        },
        "then": {
          "required": [
            "client_assertion_type"
          ],
          "properties": {
            "client_assertion_type": {
              "type": "string",
              "const": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
            }
          }
        }
      },
      "ClientCredentialsRequest": {
        "type": "object",
        "description": "Asks for a user-input token (T1) for what a user asked (RFC 6749 section 4.4 with a user's input). Only an app of kind `client` may.",
        "required": [
          "grant_type"
        ],
        "properties": {
          "grant_type": {
            "type": "string",
            "const": "client_credentials"
          },
          "user_input": {
            "type": "string",
            "maxLength": 65536,
            "description": "What the user asked for, stored once and immutable: at most 65536 bytes of UTF-8. Either this or `user_input_id` is needed.",
            "examples": [
              "Please send 12.50 euros to Carla for dinner."
            ]
          },
          "user_input_id": {
            "type": "string",
            "pattern": "^$|^[A-Za-z0-9_.-]{1,128}$",
            "description": "A user input this client stored before, to continue its session.",
            "examples": [
              "inp_9c3a51e07d2b4f68a1b2c3d4e5f60789"
            ]
          },
          "trace_id": {
            "type": "string",
            "pattern": "^$|^(?!0{32}$)[0-9a-f]{32}$",
            "examples": [
              "4bf92f3577b34da6a3ce929d0e0e4736"
            ],
            "description": "The trace this user input begins. The runtime chooses one when neither this nor `traceparent` is sent."
          },
          "traceparent": {
            "type": "string",
            "pattern": "^$|^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$",
            "description": "The same as a W3C `traceparent` of version 00. Not together with `trace_id`.",
            "examples": [
              "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
            ]
          },
          "scope": {
            "type": "string",
            "description": "The only scope of this grant; may be left out.",
            "enum": [
              "user-input",
              ""
            ]
          },
          "audience": {
            "type": "string",
            "description": "An app of the MAS, by its name or as `urn:casa:app:ID`.",
            "examples": [
              "bank",
              "urn:casa:app:app_0b7e4c1d92f84a55b3c6d7e8f9012345"
            ]
          },
          "resource": {
            "type": "string",
            "description": "The same as `audience`, as RFC 8707 names it. When both are sent they must be equal."
          },
          "tools": {
            "type": "string",
            "pattern": "^$|^[A-Za-z0-9_./-]{1,128}( [A-Za-z0-9_./-]{1,128}){0,999}$",
            "description": "Tool names, each once, separated by one space; at most 1000. Narrows the token to them.",
            "examples": [
              "get_account_summary transfer_money"
            ]
          },
          "expires_in": {
            "type": "string",
            "maxLength": 6,
            "pattern": "^$|^0*[1-9][0-9]*$",
            "description": "How many seconds the token shall live: at least 1, at most the runtime's token lifetime and the subject token's rest.",
            "examples": [
              "60"
            ]
          }
        },
        "oneOf": [
          {
            "required": [
              "user_input"
            ],
            "properties": {
              "user_input": {
                "type": "string",
                "minLength": 1
              }
            }
          },
          {
            "required": [
              "user_input_id"
            ],
            "properties": {
              "user_input_id": {
                "type": "string",
                "minLength": 1
              }
            }
          }
        ],
        "not": {
          "required": [
            "trace_id",
            "traceparent"
          ],
          "properties": {
            "trace_id": {
              "type": "string",
              "minLength": 1
            },
            "traceparent": {
              "type": "string",
              "minLength": 1
            }
          }
        }
      },
      "TokenExchangeRequest": {
        "type": "object",
        "description": "Exchanges a T1 for a narrower token (RFC 8693). Scope, tools, audience and lifetime can only become less.",
        "required": [
          "grant_type",
          "subject_token",
          "subject_token_type",
          "scope"
        ],
        "properties": {
          "grant_type": {
            "type": "string",
            "const": "urn:ietf:params:oauth:grant-type:token-exchange"
          },
          "subject_token": {
            "type": "string",
            "minLength": 1,
            "description": "A live T1 that was issued to this client or is addressed to it."
          },
          "subject_token_type": {
            "type": "string",
            "enum": [
              "urn:ietf:params:oauth:token-type:access_token",
              "urn:ietf:params:oauth:token-type:jwt"
            ]
          },
          "actor_token": {
            "type": "string",
            "description": "A live token of this client; comes with its type."
          },
          "actor_token_type": {
            "type": "string",
            "enum": [
              "urn:ietf:params:oauth:token-type:access_token",
              "urn:ietf:params:oauth:token-type:jwt",
              ""
            ]
          },
          "requested_token_type": {
            "type": "string",
            "enum": [
              "urn:ietf:params:oauth:token-type:access_token",
              "urn:ietf:params:oauth:token-type:jwt",
              ""
            ]
          },
          "scope": {
            "type": "string",
            "enum": [
              "user-input",
              "llm-access",
              "call-tools"
            ],
            "description": "`user-input`: a T1 for the app named in `audience`. `llm-access`: a T2. `call-tools`: a T3 for the one call in `authorization_details`."
          },
          "authorization_details": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {
              "$ref": "#/components/schemas/AuthorizationDetailsRequest"
            },
            "description": "JSON (RFC 9396): an array of exactly one object that is the call. Needed with the scope `call-tools` and sent with no other.",
            "examples": [
              "[{\"type\":\"mcp_tool_call\",\"server\":\"bank\",\"tool\":\"get_account_summary\",\"arguments\":{}}]"
            ]
          },
          "audience": {
            "type": "string",
            "description": "An app of the MAS, by its name or as `urn:casa:app:ID`.",
            "examples": [
              "bank",
              "urn:casa:app:app_0b7e4c1d92f84a55b3c6d7e8f9012345"
            ]
          },
          "resource": {
            "type": "string",
            "description": "The same as `audience`, as RFC 8707 names it. When both are sent they must be equal."
          },
          "tools": {
            "type": "string",
            "pattern": "^$|^[A-Za-z0-9_./-]{1,128}( [A-Za-z0-9_./-]{1,128}){0,999}$",
            "description": "Tool names, each once, separated by one space; at most 1000. Narrows the token to them.",
            "examples": [
              "get_account_summary transfer_money"
            ]
          },
          "expires_in": {
            "type": "string",
            "maxLength": 6,
            "pattern": "^$|^0*[1-9][0-9]*$",
            "description": "How many seconds the token shall live: at least 1, at most the runtime's token lifetime and the subject token's rest.",
            "examples": [
              "60"
            ]
          }
        },
        "allOf": [
          {
            "if": {
              "required": [
                "actor_token"
              ],
              "properties": {
                "actor_token": {
                  "type": "string",
                  "minLength": 1
                }
              }
            },
            "then": {
              "required": [
                "actor_token_type"
              ],
              "properties": {
                "actor_token_type": {
                  "type": "string",
                  "minLength": 1
                }
              }
            }
          },
          {
            "if": {
              "required": [
                "actor_token_type"
              ],
              "properties": {
                "actor_token_type": {
                  "type": "string",
                  "minLength": 1
                }
              }
            },
            "then": {
              "required": [
                "actor_token"
              ],
              "properties": {
                "actor_token": {
                  "type": "string",
                  "minLength": 1
                }
              }
            }
          }
        ]
      },
      "AuthorizationDetailsRequest": {
        "type": "array",
        "minItems": 1,
        "maxItems": 1,
        "items": {
          "type": "object",
          "required": [
            "type",
            "server",
            "tool",
            "arguments"
          ],
          "additionalProperties": false,
          "properties": {
            "type": {
              "type": "string",
              "const": "mcp_tool_call"
            },
            "server": {
              "$ref": "#/components/schemas/Name",
              "description": "The MCP server's app name."
            },
            "tool": {
              "$ref": "#/components/schemas/ToolName"
            },
            "arguments": {
              "type": "object"
            },
            "arguments_sha256": {
              "$ref": "#/components/schemas/SHA256",
              "description": "The SHA-256 of the RFC 8785 form of `arguments`; checked when it is sent."
            }
          }
        }
      },
      "ToolCallBinding": {
        "type": "object",
        "description": "The one call a T3 is good for (RFC 9396).",
        "required": [
          "type",
          "server",
          "tool",
          "arguments_sha256"
        ],
        "additionalProperties": false,
        "properties": {
          "type": {
            "type": "string",
            "const": "mcp_tool_call"
          },
          "server": {
            "$ref": "#/components/schemas/Name"
          },
          "tool": {
            "$ref": "#/components/schemas/ToolName"
          },
          "arguments_sha256": {
            "$ref": "#/components/schemas/SHA256",
            "description": "The SHA-256 of the RFC 8785 form of the arguments."
          }
        }
      },
      "TokenRequest": {
        "type": "object",
        "oneOf": [
          {
            "$ref": "#/components/schemas/ClientCredentialsRequest"
          },
          {
            "$ref": "#/components/schemas/TokenExchangeRequest"
          },
          {
            "$ref": "#/components/schemas/DiscoverRequest"
          },
          {
            "$ref": "#/components/schemas/DeliveredSessionRequest"
          }
        ],
        "allOf": [
          {
            "$ref": "#/components/schemas/ClientAuthentication"
          }
        ]
      },
      "ExchangeOnlyRequest": {
        "type": "object",
        "allOf": [
          {
            "$ref": "#/components/schemas/TokenExchangeRequest"
          },
          {
            "$ref": "#/components/schemas/ClientAuthentication"
          }
        ]
      },
      "TokenParameter": {
        "type": "object",
        "required": [
          "token"
        ],
        "properties": {
          "token": {
            "type": "string",
            "minLength": 1,
            "description": "The token in compact form."
          },
          "token_type_hint": {
            "type": "string",
            "description": "Accepted and not needed: there is one type of token."
          }
        },
        "allOf": [
          {
            "$ref": "#/components/schemas/ClientAuthentication"
          }
        ]
      },
      "TokenResponse": {
        "type": "object",
        "required": [
          "access_token",
          "token_type",
          "issued_token_type",
          "expires_in",
          "scope"
        ],
        "properties": {
          "access_token": {
            "type": "string",
            "maxLength": 8192,
            "description": "A signed JWT in the RFC 9068 profile."
          },
          "token_type": {
            "type": "string",
            "const": "Bearer"
          },
          "issued_token_type": {
            "type": "string",
            "const": "urn:ietf:params:oauth:token-type:access_token"
          },
          "expires_in": {
            "type": "integer",
            "minimum": 0,
            "maximum": 3600
          },
          "scope": {
            "type": "string",
            "enum": [
              "user-input",
              "llm-access",
              "call-tools",
              "discover-tools"
            ]
          },
          "user_input_id": {
            "type": "string",
            "pattern": "^[A-Za-z0-9_.-]{1,128}$",
            "description": "The session's user input.",
            "examples": [
              "inp_9c3a51e07d2b4f68a1b2c3d4e5f60789"
            ]
          },
          "trace_id": {
            "$ref": "#/components/schemas/TraceID"
          },
          "authorization_details": {
            "type": "array",
            "minItems": 1,
            "maxItems": 1,
            "items": {
              "$ref": "#/components/schemas/ToolCallBinding"
            }
          },
          "decision_id": {
            "type": "string",
            "pattern": "^[A-Za-z0-9_.-]{1,128}$",
            "description": "The decision that allowed a T3.",
            "examples": [
              "dec_1a2b3c4d5e6f70819203a4b5c6d7e8f9"
            ]
          },
          "casa_report_result": {
            "type": "boolean",
            "const": true,
            "description": "With a T3: whoever makes the call reports what the tool answers as `tool_result`, before the app gets it. Absent where the MAS's checks don't need it."
          }
        }
      },
      "Actor": {
        "type": "object",
        "description": "The newest actor; what it acts after is nested (RFC 8693 section 4.1).",
        "required": [
          "sub"
        ],
        "properties": {
          "sub": {
            "$ref": "#/components/schemas/Identifier"
          },
          "act": {
            "$ref": "#/components/schemas/Actor"
          }
        }
      },
      "ActiveToken": {
        "type": "object",
        "description": "An active token with its claims (RFC 7662 section 2.2).",
        "required": [
          "active",
          "token_type",
          "iss",
          "sub",
          "client_id",
          "aud",
          "iat",
          "nbf",
          "exp",
          "jti",
          "scope",
          "mas_id",
          "tools"
        ],
        "properties": {
          "active": {
            "type": "boolean",
            "const": true
          },
          "token_type": {
            "type": "string",
            "const": "Bearer"
          },
          "iss": {
            "type": "string"
          },
          "sub": {
            "$ref": "#/components/schemas/Identifier"
          },
          "client_id": {
            "$ref": "#/components/schemas/Identifier"
          },
          "aud": {
            "oneOf": [
              {
                "type": "string"
              },
              {
                "type": "array",
                "minItems": 2,
                "items": {
                  "type": "string"
                }
              }
            ]
          },
          "iat": {
            "type": "integer"
          },
          "nbf": {
            "type": "integer"
          },
          "exp": {
            "type": "integer"
          },
          "jti": {
            "$ref": "#/components/schemas/Identifier"
          },
          "scope": {
            "type": "string",
            "enum": [
              "user-input",
              "llm-access",
              "call-tools",
              "discover-tools"
            ]
          },
          "mas_id": {
            "$ref": "#/components/schemas/Identifier"
          },
          "tools": {
            "type": "array",
            "items": {
              "$ref": "#/components/schemas/ToolName"
            }
          },
          "user_input_id": {
            "$ref": "#/components/schemas/Identifier"
          },
          "trace_id": {
            "$ref": "#/components/schemas/TraceID"
          },
          "user_input_sha256": {
            "$ref": "#/components/schemas/SHA256"
          },
          "act": {
            "$ref": "#/components/schemas/Actor"
          },
          "may_act": {
            "type": "object",
            "required": [
              "sub"
            ],
            "properties": {
              "sub": {
                "$ref": "#/components/schemas/Identifier"
              }
            }
          },
          "authorization_details": {
            "type": "array",
            "minItems": 1,
            "maxItems": 1,
            "items": {
              "$ref": "#/components/schemas/ToolCallBinding"
            }
          }
        }
      },
      "InactiveToken": {
        "type": "object",
        "description": "Unknown, malformed, expired, revoked, spent, or not this client's business: never which.",
        "required": [
          "active"
        ],
        "additionalProperties": false,
        "properties": {
          "active": {
            "type": "boolean",
            "const": false
          }
        }
      },
      "IntrospectionResponse": {
        "oneOf": [
          {
            "$ref": "#/components/schemas/ActiveToken"
          },
          {
            "$ref": "#/components/schemas/InactiveToken"
          }
        ]
      },
      "PublicKey": {
        "description": "A public key (RFC 7517): EC P-256 for ES256 or Ed25519 for EdDSA.",
        "oneOf": [
          {
            "type": "object",
            "title": "EC P-256",
            "required": [
              "kty",
              "crv",
              "x",
              "y"
            ],
            "properties": {
              "kty": {
                "type": "string",
                "const": "EC"
              },
              "crv": {
                "type": "string",
                "const": "P-256"
              },
              "x": {
                "type": "string",
                "pattern": "^[A-Za-z0-9_-]{43}$"
              },
              "y": {
                "type": "string",
                "pattern": "^[A-Za-z0-9_-]{43}$"
              },
              "kid": {
                "type": "string"
              },
              "alg": {
                "type": "string",
                "const": "ES256"
              },
              "use": {
                "type": "string",
                "const": "sig"
              }
            }
          },
          {
            "type": "object",
            "title": "Ed25519",
            "required": [
              "kty",
              "crv",
              "x"
            ],
            "properties": {
              "kty": {
                "type": "string",
                "const": "OKP"
              },
              "crv": {
                "type": "string",
                "const": "Ed25519"
              },
              "x": {
                "type": "string",
                "pattern": "^[A-Za-z0-9_-]{43}$"
              },
              "kid": {
                "type": "string"
              },
              "alg": {
                "type": "string",
                "const": "EdDSA"
              },
              "use": {
                "type": "string",
                "const": "sig"
              }
            }
          }
        ]
      },
      "SigningKey": {
        "allOf": [
          {
            "$ref": "#/components/schemas/PublicKey"
          },
          {
            "type": "object",
            "required": [
              "kid",
              "alg",
              "use"
            ],
            "properties": {
              "kid": {
                "$ref": "#/components/schemas/Identifier"
              },
              "alg": {
                "type": "string",
                "enum": [
                  "ES256",
                  "EdDSA"
                ]
              },
              "use": {
                "type": "string",
                "const": "sig"
              }
            }
          }
        ]
      },
      "JWKSet": {
        "type": "object",
        "required": [
          "keys"
        ],
        "properties": {
          "keys": {
            "type": "array",
            "minItems": 1,
            "items": {
              "$ref": "#/components/schemas/SigningKey"
            }
          }
        }
      },
      "ClientKeySet": {
        "type": "object",
        "description": "The app's public keys for `private_key_jwt`. Private members (`d`, `k`) are refused.",
        "required": [
          "keys"
        ],
        "properties": {
          "keys": {
            "type": "array",
            "minItems": 1,
            "maxItems": 8,
            "items": {
              "$ref": "#/components/schemas/PublicKey"
            }
          }
        }
      },
      "Metadata": {
        "type": "object",
        "description": "RFC 8414 section 2.",
        "required": [
          "issuer",
          "token_endpoint",
          "introspection_endpoint",
          "revocation_endpoint",
          "jwks_uri",
          "grant_types_supported",
          "response_types_supported",
          "scopes_supported",
          "token_endpoint_auth_methods_supported"
        ],
        "properties": {
          "issuer": {
            "type": "string",
            "format": "uri"
          },
          "token_endpoint": {
            "type": "string",
            "format": "uri"
          },
          "introspection_endpoint": {
            "type": "string",
            "format": "uri"
          },
          "revocation_endpoint": {
            "type": "string",
            "format": "uri"
          },
          "jwks_uri": {
            "type": "string",
            "format": "uri"
          },
          "service_documentation": {
            "type": "string",
            "format": "uri"
          },
          "grant_types_supported": {
            "type": "array",
            "items": {
              "type": "string"
            }
          },
          "response_types_supported": {
            "type": "array",
            "items": {
              "type": "string"
            }
          },
          "scopes_supported": {
            "type": "array",
            "items": {
              "type": "string"
            }
          },
          "token_endpoint_auth_methods_supported": {
            "type": "array",
            "items": {
              "type": "string"
            }
          },
          "introspection_endpoint_auth_methods_supported": {
            "type": "array",
            "items": {
              "type": "string"
            }
          },
          "revocation_endpoint_auth_methods_supported": {
            "type": "array",
            "items": {
              "type": "string"
            }
          },
          "token_endpoint_auth_signing_alg_values_supported": {
            "type": "array",
            "items": {
              "type": "string"
            }
          },
          "introspection_endpoint_auth_signing_alg_values_supported": {
            "type": "array",
            "items": {
              "type": "string"
            }
          },
          "revocation_endpoint_auth_signing_alg_values_supported": {
            "type": "array",
            "items": {
              "type": "string"
            }
          },
          "authorization_details_types_supported": {
            "type": "array",
            "items": {
              "type": "string"
            }
          }
        }
      },
      "MASSettings": {
        "type": "object",
        "description": "What an administrator may change of a MAS. Members that are left out take their defaults.",
        "properties": {
          "enabled_tool_checks": {
            "type": "array",
            "maxItems": 32,
            "items": {
              "$ref": "#/components/schemas/CheckName"
            },
            "description": "The checks a tool call has to pass; all of them by default."
          },
          "allow_undecided": {
            "type": "boolean",
            "default": false,
            "description": "Whether a call passes that no check allowed and none blocked."
          },
          "intent": {
            "$ref": "#/components/schemas/IntentPolicy"
          }
        }
      },
      "MASCreation": {
        "type": "object",
        "required": [
          "name"
        ],
        "properties": {
          "name": {
            "$ref": "#/components/schemas/Name"
          },
          "owner": {
            "type": "string",
            "minLength": 1,
            "maxLength": 512,
            "pattern": "^[!-~]+$",
            "description": "What declared the system outside the runtime, such as a cluster's controller. At most one system has it, and it never changes."
          }
        },
        "allOf": [
          {
            "$ref": "#/components/schemas/MASSettings"
          }
        ]
      },
      "MAS": {
        "type": "object",
        "required": [
          "id",
          "name",
          "created_at",
          "enabled_tool_checks",
          "allow_undecided",
          "intent"
        ],
        "properties": {
          "id": {
            "$ref": "#/components/schemas/Identifier"
          },
          "name": {
            "$ref": "#/components/schemas/Name"
          },
          "created_at": {
            "$ref": "#/components/schemas/Timestamp"
          },
          "enabled_tool_checks": {
            "type": "array",
            "items": {
              "$ref": "#/components/schemas/CheckName"
            }
          },
          "allow_undecided": {
            "type": "boolean"
          },
          "intent": {
            "$ref": "#/components/schemas/IntentPolicy"
          },
          "owner": {
            "type": "string",
            "minLength": 1,
            "maxLength": 512,
            "pattern": "^[!-~]+$",
            "description": "What declared the system outside the runtime, such as a cluster's controller. At most one system has it, and it never changes."
          }
        }
      },
      "MASList": {
        "type": "object",
        "required": [
          "mas"
        ],
        "properties": {
          "mas": {
            "type": "array",
            "items": {
              "$ref": "#/components/schemas/MAS"
            }
          }
        }
      },
      "AppSettings": {
        "type": "object",
        "description": "What an administrator may change of an app. Members that are left out, or null, are cleared; `jwks` stays as it is.",
        "properties": {
          "base_url": {
            "type": [
              "string",
              "null"
            ],
            "maxLength": 2048,
            "pattern": "^https?://[!\"$-.0-9;-?A-~][!\"$-?A-~]*$",
            "description": "Where the app is reached: printable ASCII, without a user name or fragment. An `mcp_server` needs it: the URL of its MCP endpoint.",
            "examples": [
              "http://127.0.0.1:9000/mcp"
            ]
          },
          "prompt_json_path": {
            "type": [
              "string",
              "null"
            ],
            "maxLength": 1024,
            "pattern": "^\\$(\\.[A-Za-z0-9_-]+|\\['[^'\\\\\\x00-\\x1f]*'\\]|\\[(0|[1-9][0-9]{0,5})\\]){0,32}$",
            "description": "Where a request to this app carries the user's input when it is not an A2A message: `$`, then up to 32 of `.name`, `['name']` and `[0]`.",
            "examples": [
              "$.messages[0].content"
            ]
          },
          "jwks": {
            "oneOf": [
              {
                "$ref": "#/components/schemas/ClientKeySet"
              },
              {
                "type": "null"
              }
            ]
          },
          "allowed_methods": {
            "type": [
              "array",
              "null"
            ],
            "maxItems": 64,
            "uniqueItems": true,
            "items": {
              "type": "string",
              "enum": [
                "completion/complete",
                "logging/setLevel",
                "notifications/roots/list_changed",
                "notifications/tasks/status",
                "prompts/get",
                "prompts/list",
                "resources/list",
                "resources/read",
                "resources/subscribe",
                "resources/templates/list",
                "resources/unsubscribe",
                "subscriptions/listen",
                "tasks/cancel",
                "tasks/get",
                "tasks/list",
                "tasks/result"
              ]
            },
            "description": "Of an `mcp_server`: the methods beside tools that are let through to it; none unless named here."
          }
        }
      },
      "AppCreation": {
        "type": "object",
        "required": [
          "mas_id",
          "name",
          "kind"
        ],
        "properties": {
          "mas_id": {
            "$ref": "#/components/schemas/Identifier"
          },
          "name": {
            "$ref": "#/components/schemas/Name",
            "description": "Any but `llm`, which is the LLM's name in the trace."
          },
          "kind": {
            "$ref": "#/components/schemas/AppKind"
          }
        },
        "allOf": [
          {
            "$ref": "#/components/schemas/AppSettings"
          },
          {
            "if": {
              "properties": {
                "kind": {
                  "const": "mcp_server"
                }
              }
            },
            "then": {
              "required": [
                "base_url"
              ],
              "properties": {
                "base_url": {
                  "type": "string"
                }
              }
            }
          }
        ]
      },
      "App": {
        "type": "object",
        "required": [
          "id",
          "client_id",
          "mas_id",
          "name",
          "kind",
          "created_at",
          "token_endpoint_auth_methods",
          "base_url",
          "prompt_json_path",
          "allowed_methods"
        ],
        "properties": {
          "id": {
            "$ref": "#/components/schemas/Identifier"
          },
          "client_id": {
            "$ref": "#/components/schemas/Identifier",
            "description": "The same as `id`."
          },
          "mas_id": {
            "$ref": "#/components/schemas/Identifier"
          },
          "name": {
            "$ref": "#/components/schemas/Name"
          },
          "kind": {
            "$ref": "#/components/schemas/AppKind"
          },
          "created_at": {
            "$ref": "#/components/schemas/Timestamp"
          },
          "token_endpoint_auth_methods": {
            "type": "array",
            "items": {
              "type": "string",
              "enum": [
                "client_secret_basic",
                "client_secret_post",
                "private_key_jwt"
              ]
            }
          },
          "base_url": {
            "type": [
              "string",
              "null"
            ]
          },
          "prompt_json_path": {
            "type": [
              "string",
              "null"
            ]
          },
          "allowed_methods": {
            "type": "array",
            "maxItems": 64,
            "uniqueItems": true,
            "items": {
              "type": "string",
              "enum": [
                "completion/complete",
                "logging/setLevel",
                "notifications/roots/list_changed",
                "notifications/tasks/status",
                "prompts/get",
                "prompts/list",
                "resources/list",
                "resources/read",
                "resources/subscribe",
                "resources/templates/list",
                "resources/unsubscribe",
                "subscriptions/listen",
                "tasks/cancel",
                "tasks/get",
                "tasks/list",
                "tasks/result"
              ]
            },
            "description": "Of an `mcp_server`: the methods beside tools that are let through to it; none unless named here."
          }
        }
      },
      "AppWithSecret": {
        "allOf": [
          {
            "$ref": "#/components/schemas/App"
          },
          {
            "type": "object",
            "properties": {
              "client_secret": {
                "type": "string",
                "description": "Shown this once; the runtime keeps a hash. Absent for an app that was created with `jwks`."
              }
            }
          }
        ]
      },
      "AppList": {
        "type": "object",
        "required": [
          "apps"
        ],
        "properties": {
          "apps": {
            "type": "array",
            "items": {
              "$ref": "#/components/schemas/App"
            }
          }
        }
      },
      "NodeName": {
        "type": "string",
        "minLength": 1,
        "maxLength": 253,
        "pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$",
        "description": "An RFC 1123 subdomain, as Kubernetes names its nodes.",
        "examples": [
          "worker-1.example"
        ]
      },
      "NodeCreation": {
        "type": "object",
        "required": [
          "name"
        ],
        "properties": {
          "name": {
            "$ref": "#/components/schemas/NodeName"
          }
        }
      },
      "Node": {
        "type": "object",
        "required": [
          "id",
          "name",
          "created_at"
        ],
        "properties": {
          "id": {
            "$ref": "#/components/schemas/Identifier"
          },
          "name": {
            "$ref": "#/components/schemas/NodeName"
          },
          "created_at": {
            "$ref": "#/components/schemas/Timestamp"
          }
        }
      },
      "NodeWithSecret": {
        "allOf": [
          {
            "$ref": "#/components/schemas/Node"
          },
          {
            "type": "object",
            "required": [
              "client_secret"
            ],
            "properties": {
              "client_secret": {
                "type": "string",
                "description": "Shown this once; the runtime keeps a hash. With the id it is what `POST /trace/events` takes by HTTP Basic."
              }
            }
          }
        ]
      },
      "NodeList": {
        "type": "object",
        "required": [
          "nodes"
        ],
        "properties": {
          "nodes": {
            "type": "array",
            "items": {
              "$ref": "#/components/schemas/Node"
            }
          }
        }
      },
      "SelfDescription": {
        "allOf": [
          {
            "$ref": "#/components/schemas/App"
          },
          {
            "type": "object",
            "required": [
              "peers"
            ],
            "properties": {
              "peers": {
                "type": "array",
                "description": "The other apps of the MAS.",
                "items": {
                  "type": "object",
                  "required": [
                    "id",
                    "name",
                    "kind"
                  ],
                  "properties": {
                    "id": {
                      "$ref": "#/components/schemas/Identifier"
                    },
                    "name": {
                      "$ref": "#/components/schemas/Name"
                    },
                    "kind": {
                      "$ref": "#/components/schemas/AppKind"
                    },
                    "allowed_methods": {
                      "type": "array",
                      "items": {
                        "type": "string"
                      },
                      "description": "Of an `mcp_server`."
                    },
                    "tools": {
                      "type": "object",
                      "description": "Of an `mcp_server`: its approved tools as it lists them, with the digests of their definitions.",
                      "additionalProperties": {
                        "$ref": "#/components/schemas/SHA256"
                      }
                    }
                  }
                }
              }
            }
          }
        ]
      },
      "Tool": {
        "type": "object",
        "required": [
          "name",
          "definition",
          "pinned_sha256",
          "seen_sha256",
          "status",
          "checked_at"
        ],
        "properties": {
          "name": {
            "$ref": "#/components/schemas/ToolName"
          },
          "definition": {
            "type": "object",
            "description": "What the server says of the tool, without `_meta`."
          },
          "pinned_sha256": {
            "oneOf": [
              {
                "$ref": "#/components/schemas/SHA256"
              },
              {
                "type": "null"
              }
            ],
            "description": "The approved definition."
          },
          "seen_sha256": {
            "oneOf": [
              {
                "$ref": "#/components/schemas/SHA256"
              },
              {
                "type": "null"
              }
            ],
            "description": "The definition listed last; null when the server lists the tool no longer."
          },
          "status": {
            "type": "string",
            "enum": [
              "pinned",
              "modified",
              "unapproved",
              "withdrawn"
            ]
          },
          "checked_at": {
            "$ref": "#/components/schemas/Timestamp"
          }
        }
      },
      "ToolList": {
        "type": "object",
        "required": [
          "tools"
        ],
        "properties": {
          "tools": {
            "type": "array",
            "items": {
              "$ref": "#/components/schemas/Tool"
            }
          }
        }
      },
      "ToolApproval": {
        "type": "object",
        "required": [
          "tools"
        ],
        "properties": {
          "tools": {
            "type": "array",
            "minItems": 1,
            "maxItems": 1000,
            "items": {
              "type": "object",
              "required": [
                "name",
                "seen_sha256"
              ],
              "properties": {
                "name": {
                  "$ref": "#/components/schemas/ToolName"
                },
                "seen_sha256": {
                  "$ref": "#/components/schemas/SHA256",
                  "description": "The definition you looked at; another one is not approved."
                }
              }
            }
          }
        }
      },
      "UserInput": {
        "type": "object",
        "required": [
          "id",
          "mas_id",
          "app_id",
          "trace_id",
          "user_input",
          "sha256",
          "created_at"
        ],
        "properties": {
          "id": {
            "$ref": "#/components/schemas/Identifier"
          },
          "mas_id": {
            "$ref": "#/components/schemas/Identifier"
          },
          "app_id": {
            "$ref": "#/components/schemas/Identifier"
          },
          "trace_id": {
            "$ref": "#/components/schemas/TraceID"
          },
          "user_input": {
            "type": "string"
          },
          "sha256": {
            "$ref": "#/components/schemas/SHA256"
          },
          "created_at": {
            "$ref": "#/components/schemas/Timestamp"
          }
        }
      },
      "TraceEvent": {
        "type": "object",
        "required": [
          "sequence",
          "at",
          "kind",
          "payload",
          "mas_id",
          "user_input_id",
          "trace_id",
          "app_id"
        ],
        "properties": {
          "sequence": {
            "type": "integer",
            "minimum": 1
          },
          "at": {
            "$ref": "#/components/schemas/Timestamp"
          },
          "kind": {
            "type": "string",
            "enum": [
              "user_input_received",
              "token_issued",
              "token_exchanged",
              "exchange_refused",
              "token_spent",
              "spend_refused",
              "token_revoked",
              "token_introspected",
              "llm_call",
              "tool_result",
              "call_admitted",
              "call_refused",
              "events_lost",
              "flow_opened",
              "flow_closed",
              "flow_refused",
              "flows_lost",
              "workload_left",
              "token_seen",
              "token_exfiltration",
              "tools_discovered",
              "tools_approved",
              "configuration_changed",
              "traces_pruned",
              "signing_key_rotated"
            ]
          },
          "payload": {
            "type": "object",
            "description": "What the kind of event tells; never a token, a secret or a prompt."
          },
          "mas_id": {
            "type": [
              "string",
              "null"
            ]
          },
          "user_input_id": {
            "type": [
              "string",
              "null"
            ]
          },
          "trace_id": {
            "type": [
              "string",
              "null"
            ]
          },
          "app_id": {
            "type": [
              "string",
              "null"
            ]
          }
        }
      },
      "TraceEventList": {
        "type": "object",
        "required": [
          "events",
          "next_after"
        ],
        "properties": {
          "events": {
            "type": "array",
            "maxItems": 1000,
            "items": {
              "$ref": "#/components/schemas/TraceEvent"
            }
          },
          "next_after": {
            "type": "integer",
            "minimum": 0,
            "description": "From where to go on."
          }
        }
      },
      "LLMCallReport": {
        "type": "object",
        "description": "The LLM answered and selected these calls.",
        "required": [
          "kind",
          "token",
          "selections"
        ],
        "properties": {
          "kind": {
            "type": "string",
            "const": "llm_call"
          },
          "token": {
            "type": "string",
            "maxLength": 8192,
            "description": "This app's live llm-access token, the evidence of the session."
          },
          "selections": {
            "type": "array",
            "maxItems": 128,
            "items": {
              "type": "object",
              "required": [
                "tool",
                "arguments_sha256"
              ],
              "properties": {
                "tool": {
                  "$ref": "#/components/schemas/ToolName"
                },
                "arguments_sha256": {
                  "$ref": "#/components/schemas/SHA256"
                }
              }
            }
          }
        }
      },
      "ToolResultReport": {
        "type": "object",
        "description": "A tool answered. Of one call there is one result; a session holds at most 256, and 4 MiB of text. Further ones are refused as `overloaded`, and must not reach the app.",
        "required": [
          "kind",
          "token",
          "text"
        ],
        "properties": {
          "kind": {
            "type": "string",
            "const": "tool_result"
          },
          "token": {
            "type": "string",
            "maxLength": 8192,
            "description": "This app's call-tools token for the call, the evidence of server, tool and session; spent or not, not revoked, and at most 900 seconds after its expiry."
          },
          "text": {
            "type": "string",
            "maxLength": 262144,
            "description": "All text of the answer, at most 262144 bytes of UTF-8: text items, embedded resources and links as they are, everything else as JSON."
          },
          "truncated": {
            "type": "boolean",
            "default": false,
            "description": "Whether there was more text."
          },
          "unread": {
            "type": "array",
            "maxItems": 16,
            "default": [],
            "description": "What kinds of content were no text.",
            "items": {
              "type": "string",
              "pattern": "^[A-Za-z0-9_.-]{1,64}$"
            },
            "examples": [
              [
                "image"
              ]
            ]
          }
        }
      },
      "CallReport": {
        "type": "object",
        "description": "A request was let through or refused. All texts have at most 300 bytes.",
        "required": [
          "kind"
        ],
        "properties": {
          "direction": {
            "type": "string",
            "maxLength": 300
          },
          "destination": {
            "type": "string",
            "maxLength": 300
          },
          "method": {
            "type": "string",
            "maxLength": 300
          },
          "tool": {
            "type": "string",
            "maxLength": 300
          },
          "explanation": {
            "type": "string",
            "maxLength": 300
          },
          "decision_id": {
            "type": "string",
            "maxLength": 300
          },
          "token_sha256": {
            "type": "string",
            "maxLength": 300
          },
          "kind": {
            "type": "string",
            "enum": [
              "call_admitted",
              "call_refused"
            ]
          },
          "reason": {
            "description": "Needed with `call_refused`, ignored with `call_admitted`."
          },
          "latency_ms": {
            "type": "number",
            "minimum": 0,
            "exclusiveMaximum": 1000000000.0
          },
          "trace_id": {
            "$ref": "#/components/schemas/TraceID"
          },
          "user_input_id": {
            "$ref": "#/components/schemas/Identifier"
          },
          "correlated_by": {
            "type": "string",
            "maxLength": 300,
            "description": "How the session was found: `traceparent`, `meta`, `context`, `content` or `only_session`."
          },
          "count": {
            "type": "integer",
            "minimum": 1,
            "maximum": 1000000000,
            "description": "How many requests the report stands for, that were decided alike; 1 when it is left out."
          }
        },
        "if": {
          "properties": {
            "kind": {
              "const": "call_refused"
            }
          }
        },
        "then": {
          "required": [
            "reason"
          ],
          "properties": {
            "reason": {
              "$ref": "#/components/schemas/RefusalReason"
            }
          }
        }
      },
      "FlowReport": {
        "type": "object",
        "description": "What a node guard saw. With one `id` a report may come as often as it likes: it is stored once.",
        "required": [
          "kind",
          "id",
          "at",
          "workload"
        ],
        "properties": {
          "kind": {
            "type": "string",
            "enum": [
              "flow_opened",
              "flow_closed",
              "flow_refused",
              "token_seen",
              "workload_left",
              "flows_lost"
            ]
          },
          "id": {
            "type": "string",
            "minLength": 1,
            "maxLength": 100,
            "pattern": "^[A-Za-z0-9._:-]{1,100}$",
            "description": "Unique among all reports of the node, ever."
          },
          "at": {
            "type": "integer",
            "minimum": 0,
            "maximum": 9007199254740991,
            "description": "When it was seen, in milliseconds since 1970-01-01 UTC; at most 10 minutes ahead and 30 days ago."
          },
          "workload": {
            "type": "string",
            "minLength": 1,
            "maxLength": 253,
            "pattern": "^[ -~]{1,253}$",
            "description": "As the node's policy names it."
          },
          "app_id": {
            "$ref": "#/components/schemas/Identifier",
            "description": "The app that the workload is. An unknown one is noted as `unknown_app_id`, not refused."
          },
          "peer_app_id": {
            "$ref": "#/components/schemas/Identifier",
            "description": "The app behind `remote`, as the policy of the node has it."
          },
          "flow": {
            "type": "string",
            "minLength": 1,
            "maxLength": 64,
            "pattern": "^[ -~]{1,64}$",
            "description": "The connection, for the node to choose."
          },
          "direction": {
            "type": "string",
            "enum": [
              "inbound",
              "outbound"
            ],
            "description": "As the workload has it. Needed with `token_seen`."
          },
          "protocol": {
            "type": "string",
            "minLength": 1,
            "maxLength": 16,
            "pattern": "^[a-z0-9_-]{1,16}$",
            "examples": [
              "tcp",
              "udp"
            ]
          },
          "local": {
            "type": "string",
            "maxLength": 53,
            "description": "Address and port.",
            "examples": [
              "192.0.2.1:443",
              "[2001:db8::1]:443"
            ]
          },
          "remote": {
            "type": "string",
            "maxLength": 53,
            "description": "Address and port of the other end.",
            "examples": [
              "192.0.2.1:443",
              "[2001:db8::1]:443"
            ]
          },
          "reason": {
            "type": "string",
            "minLength": 1,
            "maxLength": 40,
            "pattern": "^[a-z0-9_]{1,40}$"
          },
          "rule": {
            "type": "integer",
            "minimum": -9007199254740991,
            "maximum": 9007199254740991
          },
          "hook": {
            "type": "string",
            "minLength": 1,
            "maxLength": 40,
            "pattern": "^[A-Za-z0-9._/-]{1,40}$",
            "examples": [
              "connect4"
            ]
          },
          "bytes_out": {
            "type": "integer",
            "minimum": 0,
            "maximum": 9007199254740991
          },
          "bytes_in": {
            "type": "integer",
            "minimum": 0,
            "maximum": 9007199254740991
          },
          "packets_out": {
            "type": "integer",
            "minimum": 0,
            "maximum": 9007199254740991
          },
          "packets_in": {
            "type": "integer",
            "minimum": 0,
            "maximum": 9007199254740991
          },
          "duration_ms": {
            "type": "integer",
            "minimum": 0,
            "maximum": 9007199254740991
          },
          "suppressed": {
            "type": "integer",
            "minimum": 0,
            "maximum": 9007199254740991,
            "description": "How many more were seen alike and not told."
          },
          "count": {
            "type": "integer",
            "minimum": 0,
            "maximum": 9007199254740991,
            "description": "How many it stands for."
          }
        },
        "if": {
          "properties": {
            "kind": {
              "const": "token_seen"
            }
          }
        },
        "then": {
          "required": [
            "direction",
            "token_sha256"
          ],
          "properties": {
            "token_sha256": {
              "$ref": "#/components/schemas/SHA256"
            },
            "method": {
              "type": "string",
              "minLength": 1,
              "maxLength": 8,
              "pattern": "^[ -~]{1,8}$",
              "description": "Of the request that held the token, or the beginning of it."
            },
            "path": {
              "type": "string",
              "minLength": 1,
              "maxLength": 64,
              "pattern": "^[ -~]{1,64}$",
              "description": "The beginning of its path. A query is dropped."
            }
          }
        }
      },
      "ReportBatch": {
        "type": "object",
        "required": [
          "events"
        ],
        "properties": {
          "events": {
            "type": "array",
            "minItems": 1,
            "maxItems": 100,
            "description": "Stored together or not at all. A node reports flows, an app everything else.",
            "items": {
              "oneOf": [
                {
                  "$ref": "#/components/schemas/LLMCallReport"
                },
                {
                  "$ref": "#/components/schemas/ToolResultReport"
                },
                {
                  "$ref": "#/components/schemas/CallReport"
                },
                {
                  "$ref": "#/components/schemas/FlowReport"
                }
              ]
            }
          }
        }
      },
      "Status": {
        "type": "object",
        "required": [
          "status"
        ],
        "properties": {
          "status": {
            "type": "string"
          }
        }
      },
      "Revocations": {
        "type": "object",
        "additionalProperties": false,
        "required": [
          "cursor",
          "is_partial",
          "user_input_ids"
        ],
        "properties": {
          "cursor": {
            "type": "string",
            "description": "Where the next question goes on."
          },
          "is_partial": {
            "type": "boolean",
            "description": "Whether more may have been revoked than is named."
          },
          "user_input_ids": {
            "type": "array",
            "items": {
              "$ref": "#/components/schemas/Identifier"
            }
          }
        }
      },
      "DiscoverRequest": {
        "type": "object",
        "description": "Asks for a token with which an app opens a connection to a callee and lists what it offers, in no session and for nothing else. Any app but an `mcp_server` may.",
        "required": [
          "grant_type",
          "scope",
          "audience"
        ],
        "properties": {
          "grant_type": {
            "type": "string",
            "const": "client_credentials"
          },
          "scope": {
            "type": "string",
            "const": "discover-tools"
          },
          "audience": {
            "type": "string",
            "description": "An app of the MAS, by its name or as `urn:casa:app:ID`.",
            "examples": [
              "bank",
              "urn:casa:app:app_0b7e4c1d92f84a55b3c6d7e8f9012345"
            ],
            "minLength": 1
          }
        },
        "not": {
          "anyOf": [
            {
              "required": [
                "user_input"
              ],
              "properties": {
                "user_input": {
                  "type": "string",
                  "minLength": 1
                }
              }
            },
            {
              "required": [
                "user_input_id"
              ],
              "properties": {
                "user_input_id": {
                  "type": "string",
                  "minLength": 1
                }
              }
            }
          ]
        }
      },
      "DeliveredSessionRequest": {
        "type": "object",
        "description": "An extension grant (RFC 6749 section 4.5): asks for the token of a session again that was delivered to this client, whose part was started anew and lost it. The token says what the delivered one said and ends with it.",
        "required": [
          "grant_type",
          "trace_id"
        ],
        "properties": {
          "grant_type": {
            "type": "string",
            "const": "urn:casa:params:oauth:grant-type:delivered-session"
          },
          "trace_id": {
            "type": "string",
            "pattern": "^(?!0{32}$)[0-9a-f]{32}$",
            "examples": [
              "4bf92f3577b34da6a3ce929d0e0e4736"
            ]
          }
        }
      },
      "IntentPolicy": {
        "type": "object",
        "description": "How the checks of intent judge. Members that are left out take their defaults.",
        "additionalProperties": false,
        "properties": {
          "strategy": {
            "type": "string",
            "enum": [
              "embeddings",
              "llm_verifier",
              "hybrid"
            ],
            "default": "embeddings",
            "description": "What `AI_POWERED_TOOL_MATCH` asks."
          },
          "tool_effects": {
            "type": "object",
            "description": "What tools do, by their names, where their descriptions don't say it rightly.",
            "additionalProperties": {
              "type": "array",
              "minItems": 1,
              "items": {
                "type": "string",
                "enum": [
                  "reads",
                  "writes",
                  "sends",
                  "deletes",
                  "pays",
                  "grants"
                ]
              }
            }
          },
          "grounded_values": {
            "type": "array",
            "maxItems": 1000,
            "items": {
              "type": "string",
              "minLength": 1,
              "maxLength": 1024
            },
            "description": "Values that calls may name whatever the user said; `*@example.com` stands for all addresses of a domain."
          },
          "maximum_near_misses": {
            "type": "integer",
            "minimum": 1,
            "maximum": 1000,
            "default": 5,
            "description": "After so many calls that a check of intent refused, none passes any more in the session."
          },
          "calibration": {
            "type": [
              "object",
              "null"
            ],
            "description": "What `casa intent calibrate` writes; without it, the standard one."
          }
        }
      },
      "SessionSummary": {
        "type": "object",
        "required": [
          "id",
          "mas_id",
          "mas",
          "app_id",
          "app",
          "apps",
          "trace_id",
          "started_at",
          "last_at",
          "prompt",
          "events",
          "allowed",
          "refused",
          "alerts",
          "tools",
          "reasons"
        ],
        "properties": {
          "id": {
            "$ref": "#/components/schemas/Identifier"
          },
          "mas_id": {
            "$ref": "#/components/schemas/Identifier"
          },
          "mas": {
            "type": [
              "string",
              "null"
            ]
          },
          "app_id": {
            "type": [
              "string",
              "null"
            ]
          },
          "app": {
            "type": [
              "string",
              "null"
            ]
          },
          "apps": {
            "type": "array",
            "items": {
              "type": "string"
            }
          },
          "trace_id": {
            "type": [
              "string",
              "null"
            ]
          },
          "started_at": {
            "$ref": "#/components/schemas/Timestamp"
          },
          "last_at": {
            "$ref": "#/components/schemas/Timestamp"
          },
          "prompt": {
            "type": [
              "string",
              "null"
            ],
            "description": "null without the right to read it, or when it is gone."
          },
          "events": {
            "type": "integer",
            "minimum": 0
          },
          "allowed": {
            "type": "integer",
            "minimum": 0
          },
          "refused": {
            "type": "integer",
            "minimum": 0
          },
          "alerts": {
            "type": "integer",
            "minimum": 0
          },
          "tools": {
            "type": "array",
            "items": {
              "type": "string"
            }
          },
          "reasons": {
            "type": "array",
            "items": {
              "type": "string"
            }
          }
        }
      },
      "SessionList": {
        "type": "object",
        "required": [
          "sessions",
          "next"
        ],
        "properties": {
          "sessions": {
            "type": "array",
            "items": {
              "$ref": "#/components/schemas/SessionSummary"
            }
          },
          "next": {
            "type": [
              "string",
              "null"
            ],
            "description": "`before` of the next page."
          }
        }
      },
      "TraceToken": {
        "type": "object",
        "required": [
          "sha256",
          "user_input_id",
          "parent_sha256",
          "scope",
          "app_id",
          "audience",
          "actors",
          "tool",
          "issued_at",
          "expires_at",
          "spent_at",
          "revoked_at"
        ],
        "properties": {
          "sha256": {
            "$ref": "#/components/schemas/SHA256"
          },
          "user_input_id": {
            "type": [
              "string",
              "null"
            ]
          },
          "parent_sha256": {
            "type": [
              "string",
              "null"
            ]
          },
          "scope": {
            "type": "string"
          },
          "app_id": {
            "$ref": "#/components/schemas/Identifier"
          },
          "audience": {
            "type": "array",
            "items": {
              "type": "string"
            }
          },
          "actors": {
            "type": "array",
            "items": {
              "type": "string"
            }
          },
          "tool": {
            "type": [
              "string",
              "null"
            ]
          },
          "issued_at": {
            "$ref": "#/components/schemas/Timestamp"
          },
          "expires_at": {
            "type": "string"
          },
          "spent_at": {
            "anyOf": [
              {
                "$ref": "#/components/schemas/Timestamp"
              },
              {
                "type": "null"
              }
            ]
          },
          "revoked_at": {
            "anyOf": [
              {
                "$ref": "#/components/schemas/Timestamp"
              },
              {
                "type": "null"
              }
            ]
          },
          "sightings": {
            "type": "integer",
            "minimum": 0,
            "description": "How often nodes saw it."
          }
        }
      },
      "TraceFlow": {
        "type": "object",
        "required": [
          "node",
          "flow",
          "workload",
          "app_id",
          "peer_app_id",
          "direction",
          "remote",
          "opened_at",
          "closed_at",
          "bytes_out",
          "bytes_in",
          "refused",
          "tokens"
        ],
        "properties": {
          "node": {
            "type": "string"
          },
          "flow": {
            "type": "string"
          },
          "workload": {
            "type": "string"
          },
          "app_id": {
            "type": [
              "string",
              "null"
            ]
          },
          "peer_app_id": {
            "type": [
              "string",
              "null"
            ]
          },
          "direction": {
            "type": [
              "string",
              "null"
            ]
          },
          "remote": {
            "type": [
              "string",
              "null"
            ]
          },
          "opened_at": {
            "anyOf": [
              {
                "$ref": "#/components/schemas/Timestamp"
              },
              {
                "type": "null"
              }
            ]
          },
          "closed_at": {
            "anyOf": [
              {
                "$ref": "#/components/schemas/Timestamp"
              },
              {
                "type": "null"
              }
            ]
          },
          "bytes_out": {
            "type": [
              "integer",
              "null"
            ]
          },
          "bytes_in": {
            "type": [
              "integer",
              "null"
            ]
          },
          "refused": {
            "type": [
              "string",
              "null"
            ]
          },
          "tokens": {
            "type": "array",
            "items": {
              "type": "object"
            }
          }
        }
      },
      "Alert": {
        "type": "object",
        "required": [
          "id",
          "sequence",
          "at",
          "kind",
          "mas_id",
          "user_input_id",
          "app_id",
          "reason",
          "explanation"
        ],
        "properties": {
          "id": {
            "type": "string"
          },
          "sequence": {
            "type": "integer",
            "minimum": 0
          },
          "at": {
            "$ref": "#/components/schemas/Timestamp"
          },
          "kind": {
            "type": "string"
          },
          "mas_id": {
            "type": [
              "string",
              "null"
            ]
          },
          "user_input_id": {
            "type": [
              "string",
              "null"
            ]
          },
          "app_id": {
            "type": [
              "string",
              "null"
            ]
          },
          "reason": {
            "type": "string"
          },
          "explanation": {
            "type": "string"
          }
        }
      },
      "AlertList": {
        "type": "object",
        "required": [
          "alerts",
          "next"
        ],
        "properties": {
          "alerts": {
            "type": "array",
            "items": {
              "$ref": "#/components/schemas/Alert"
            }
          },
          "next": {
            "type": [
              "string",
              "null"
            ]
          }
        }
      },
      "Session": {
        "type": "object",
        "required": [
          "session",
          "apps",
          "events",
          "next_after",
          "tokens",
          "flows",
          "alerts"
        ],
        "properties": {
          "session": {
            "$ref": "#/components/schemas/SessionSummary"
          },
          "apps": {
            "type": "object",
            "additionalProperties": {
              "type": "object",
              "required": [
                "name",
                "kind"
              ],
              "properties": {
                "name": {
                  "type": "string"
                },
                "kind": {
                  "$ref": "#/components/schemas/AppKind"
                }
              }
            }
          },
          "events": {
            "type": "array",
            "items": {
              "$ref": "#/components/schemas/TraceEvent"
            }
          },
          "next_after": {
            "type": [
              "integer",
              "null"
            ]
          },
          "tokens": {
            "type": "array",
            "items": {
              "$ref": "#/components/schemas/TraceToken"
            }
          },
          "flows": {
            "type": "array",
            "items": {
              "$ref": "#/components/schemas/TraceFlow"
            }
          },
          "alerts": {
            "type": "array",
            "items": {
              "$ref": "#/components/schemas/Alert"
            }
          }
        }
      },
      "Statistics": {
        "type": "object",
        "required": [
          "from",
          "to",
          "bucket_seconds",
          "totals",
          "calls",
          "reasons",
          "checks"
        ],
        "properties": {
          "from": {
            "$ref": "#/components/schemas/Timestamp"
          },
          "to": {
            "$ref": "#/components/schemas/Timestamp"
          },
          "bucket_seconds": {
            "type": "integer",
            "minimum": 60
          },
          "totals": {
            "type": "object",
            "additionalProperties": {
              "type": "integer",
              "minimum": 0
            }
          },
          "calls": {
            "type": "array",
            "items": {
              "type": "object",
              "required": [
                "at",
                "allowed",
                "refused"
              ],
              "properties": {
                "at": {
                  "$ref": "#/components/schemas/Timestamp"
                },
                "allowed": {
                  "type": "integer",
                  "minimum": 0
                },
                "refused": {
                  "type": "integer",
                  "minimum": 0
                }
              }
            }
          },
          "reasons": {
            "type": "array",
            "items": {
              "type": "object",
              "required": [
                "reason",
                "count"
              ],
              "properties": {
                "reason": {
                  "type": "string"
                },
                "count": {
                  "type": "integer",
                  "minimum": 0
                }
              }
            }
          },
          "checks": {
            "type": "array",
            "items": {
              "type": "object",
              "required": [
                "check",
                "count",
                "blocked",
                "mean_ms",
                "p50_ms",
                "p95_ms"
              ],
              "properties": {
                "check": {
                  "type": "string"
                },
                "count": {
                  "type": "integer",
                  "minimum": 0
                },
                "blocked": {
                  "type": "integer",
                  "minimum": 0
                },
                "mean_ms": {
                  "type": "number"
                },
                "p50_ms": {
                  "type": "number"
                },
                "p95_ms": {
                  "type": "number"
                }
              }
            }
          }
        }
      },
      "GraphApp": {
        "type": "object",
        "required": [
          "id",
          "name",
          "kind",
          "mas_id"
        ],
        "properties": {
          "id": {
            "$ref": "#/components/schemas/Identifier"
          },
          "name": {
            "type": "string"
          },
          "kind": {
            "$ref": "#/components/schemas/AppKind"
          },
          "mas_id": {
            "$ref": "#/components/schemas/Identifier"
          }
        }
      },
      "Graph": {
        "type": "object",
        "required": [
          "apps",
          "edges"
        ],
        "properties": {
          "apps": {
            "type": "array",
            "items": {
              "$ref": "#/components/schemas/GraphApp"
            }
          },
          "edges": {
            "type": "array",
            "items": {
              "type": "object",
              "required": [
                "mas_id",
                "from",
                "to",
                "protocol",
                "allowed",
                "refused",
                "last_at"
              ],
              "properties": {
                "mas_id": {
                  "$ref": "#/components/schemas/Identifier"
                },
                "from": {
                  "type": "string",
                  "description": "An app's id; empty when it isn't known."
                },
                "to": {
                  "type": "string",
                  "description": "An app's name, or `llm`."
                },
                "protocol": {
                  "type": "string",
                  "enum": [
                    "mcp",
                    "a2a",
                    "llm"
                  ]
                },
                "allowed": {
                  "type": "integer",
                  "minimum": 0
                },
                "refused": {
                  "type": "integer",
                  "minimum": 0
                },
                "last_at": {
                  "$ref": "#/components/schemas/Timestamp"
                }
              }
            }
          }
        }
      },
      "SearchResult": {
        "type": "object",
        "required": [
          "sessions",
          "tokens",
          "systems",
          "apps"
        ],
        "properties": {
          "sessions": {
            "type": "array",
            "items": {
              "$ref": "#/components/schemas/SessionSummary"
            }
          },
          "tokens": {
            "type": "array",
            "items": {
              "$ref": "#/components/schemas/TraceToken"
            }
          },
          "systems": {
            "type": "array",
            "items": {
              "type": "object",
              "required": [
                "id",
                "name"
              ],
              "properties": {
                "id": {
                  "$ref": "#/components/schemas/Identifier"
                },
                "name": {
                  "type": "string"
                }
              }
            }
          },
          "apps": {
            "type": "array",
            "items": {
              "$ref": "#/components/schemas/GraphApp"
            }
          }
        }
      },
      "Reader": {
        "type": "object",
        "required": [
          "id",
          "name",
          "created_at",
          "mas_ids",
          "reads_prompts"
        ],
        "properties": {
          "id": {
            "$ref": "#/components/schemas/Identifier"
          },
          "name": {
            "$ref": "#/components/schemas/Name"
          },
          "created_at": {
            "$ref": "#/components/schemas/Timestamp"
          },
          "mas_ids": {
            "type": [
              "array",
              "null"
            ],
            "items": {
              "type": "string"
            },
            "description": "null for all."
          },
          "reads_prompts": {
            "type": "boolean"
          }
        }
      },
      "ReaderList": {
        "type": "object",
        "required": [
          "readers"
        ],
        "properties": {
          "readers": {
            "type": "array",
            "items": {
              "$ref": "#/components/schemas/Reader"
            }
          }
        }
      },
      "NewReader": {
        "allOf": [
          {
            "$ref": "#/components/schemas/Reader"
          },
          {
            "type": "object",
            "required": [
              "credential"
            ],
            "properties": {
              "credential": {
                "type": "string",
                "description": "Shown this once: what the reader sends as a bearer token, or signs in to the Explorer with."
              }
            }
          }
        ]
      },
      "ReaderCreation": {
        "type": "object",
        "required": [
          "name"
        ],
        "properties": {
          "name": {
            "$ref": "#/components/schemas/Name"
          },
          "mas_ids": {
            "type": [
              "array",
              "null"
            ],
            "items": {
              "type": "string",
              "pattern": "^[A-Za-z0-9_.-]{1,128}$"
            },
            "maxItems": 1000
          },
          "reads_prompts": {
            "type": "boolean",
            "default": false
          }
        }
      }
    }
  }
}

"""#
}
